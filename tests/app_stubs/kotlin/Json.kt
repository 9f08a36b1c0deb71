// Android's org.json, as far as the app uses it, on top of kotlinx.serialization: for tests on a JVM.
package org.json

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive

class JSONObject internal constructor(private val map: JsonObject) {
    constructor(json: String) : this(Json.parseToJsonElement(json).jsonObject)

    fun getString(name: String): String = map.getValue(name).jsonPrimitive.content
    fun getDouble(name: String): Double = getString(name).toDouble()
    fun getInt(name: String): Int = getString(name).toInt()
    fun getJSONArray(name: String) = JSONArray(map.getValue(name).jsonArray)
}

class JSONArray internal constructor(private val list: JsonArray) {
    fun length(): Int = list.size
    fun getDouble(index: Int): Double = list[index].jsonPrimitive.content.toDouble()
    fun getInt(index: Int): Int = list[index].jsonPrimitive.content.toInt()
    fun getJSONObject(index: Int) = JSONObject(list[index].jsonObject)
}
