package com.example.mobilelab

import java.util.Base64
import org.json.JSONArray
import org.json.JSONObject

/** The files that Python put beside the model, read from their text. */

fun readLetterbox(json: String): Letterbox {
    val facts = JSONObject(json)
    return Letterbox(
        facts.getInt("size"),
        facts.getDouble("fill").toFloat(),
        facts.getDouble("max_value").toFloat(),
        floats(facts.getJSONArray("mean")),
        floats(facts.getJSONArray("std")),
    )
}

/** @param least the score from which on a box is chosen; Python's own for the self-check */
fun readChooser(json: String, least: Float? = null): Chooser {
    val facts = JSONObject(json)
    return Chooser(
        facts.getInt("stride"),
        least ?: facts.getDouble("least").toFloat(),
        facts.getDouble("iou"),
        facts.getInt("most"),
    )
}

fun readExpected(json: String): Expected {
    val facts = JSONObject(json)
    val shape = facts.getJSONArray("raw_shape")
    val vectors = facts.getJSONArray("vectors")
    return Expected(
        shape.getInt(1),
        shape.getInt(2),
        facts.getInt("grid"),
        facts.getDouble("input_tolerance"),
        facts.getDouble("output_tolerance"),
        facts.getDouble("box_tolerance"),
        List(vectors.length()) { i ->
            val one = vectors.getJSONObject(i)
            TestVector(
                Base64.getDecoder().decode(one.getString("raw")),
                floats(one.getString("input")),
                floats(one.getString("scores")),
                floats(one.getString("raw_boxes")),
                boxes(floats(one.getString("boxes")), one.getJSONArray("labels")),
            )
        },
    )
}

/** Five numbers for each box: x0, y0, x1, y1 and the score. */
private fun boxes(numbers: FloatArray, labels: JSONArray) = List(labels.length()) { i ->
    val (x0, y0, x1, y1, score) = numbers.slice(5 * i until 5 * i + 5)
    Box(x0, y0, x1, y1, score, labels.getInt(i))
}
