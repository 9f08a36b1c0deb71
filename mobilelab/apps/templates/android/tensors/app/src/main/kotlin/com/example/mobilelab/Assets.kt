package com.example.mobilelab

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Base64
import org.json.JSONArray
import org.json.JSONObject

/** The examples that Python put beside the model, read from their text. */
fun readExpected(json: String): Expected {
    val facts = JSONObject(json)
    val cases = facts.getJSONArray("cases")
    return Expected(
        facts.getDouble("tolerance"),
        List(cases.length()) { i ->
            val one = cases.getJSONObject(i)
            Case(tensors(one.getJSONArray("inputs")), tensors(one.getJSONArray("outputs")))
        },
    )
}

private fun tensors(list: JSONArray) = List(list.length()) { i ->
    val one = list.getJSONObject(i)
    val sizes = one.getJSONArray("shape")
    val shape = LongArray(sizes.length()) { sizes.getInt(it).toLong() }
    val dtype = one.getString("dtype")
    NamedTensor(one.getString("name"), dtype, shape, elements(dtype, one.getString("data")))
}

/** Little-endian, base64. */
private fun elements(dtype: String, base64: String): Any {
    val content = Base64.getDecoder().decode(base64)
    val bytes = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN)
    return when (dtype) {
        "float32" -> FloatArray(content.size / 4) { bytes.getFloat() }
        "float64" -> DoubleArray(content.size / 8) { bytes.getDouble() }
        "int64" -> LongArray(content.size / 8) { bytes.getLong() }
        "int32" -> IntArray(content.size / 4) { bytes.getInt() }
        "int8", "uint8" -> content
        else -> error("this app does not read $dtype")
    }
}
