package com.example.mobilelab

import java.util.Base64
import org.json.JSONObject

/** The files that Python put beside the model, read from their text. */

fun readPreprocessing(json: String): Preprocessing {
    val facts = JSONObject(json)
    require(facts.getString("mode") == "bilinear") { "this app resizes bilinearly only" }
    return Preprocessing(
        facts.getDouble("max_value").toFloat(),
        floats(facts.getJSONArray("mean")),
        floats(facts.getJSONArray("std")),
        facts.getInt("size"),
    )
}

fun readExpected(json: String): Expected {
    val facts = JSONObject(json)
    val shape = facts.getJSONArray("raw_shape")
    val vectors = facts.getJSONArray("vectors")
    return Expected(
        shape.getInt(1),
        shape.getInt(2),
        facts.getDouble("input_tolerance"),
        facts.getDouble("output_tolerance"),
        List(vectors.length()) { i ->
            val one = vectors.getJSONObject(i)
            TestVector(
                one.getInt("label"),
                Base64.getDecoder().decode(one.getString("raw")),
                floats(one.getString("input")),
                floats(one.getString("output")),
            )
        },
    )
}
