package com.example.mobilelab

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Base64
import org.json.JSONArray

fun readLabels(text: String): List<String> = text.lines().filter { it.isNotBlank() }

fun floats(array: JSONArray) = FloatArray(array.length()) { array.getDouble(it).toFloat() }

/** float32, little-endian, base64. */
fun floats(base64: String): FloatArray {
    val bytes = ByteBuffer.wrap(Base64.getDecoder().decode(base64)).order(ByteOrder.LITTLE_ENDIAN)
    return FloatArray(bytes.remaining() / 4) { bytes.getFloat() }
}
