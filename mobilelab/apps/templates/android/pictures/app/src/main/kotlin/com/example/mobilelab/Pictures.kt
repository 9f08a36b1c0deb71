package com.example.mobilelab

import kotlin.math.abs
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min

// What every app for pictures needs. Nothing of Android in this file, so it runs on any JVM.

/**
 * For each output pixel along one axis: its two source pixels and the weight of the second.
 * Bilinear, corners not aligned.
 */
class Taps(val first: IntArray, val second: IntArray, val weight: FloatArray) {
    companion object {
        fun of(from: Int, to: Int): Taps {
            val step = from.toFloat() / to
            val taps = Taps(IntArray(to), IntArray(to), FloatArray(to))
            for (i in 0 until to) {
                val place = max(0f, (i + 0.5f) * step - 0.5f)
                taps.first[i] = min(floor(place).toInt(), from - 1)
                taps.second[i] = min(taps.first[i] + 1, from - 1)
                taps.weight[i] = place - taps.first[i]
            }
            return taps
        }
    }
}

/**
 * Turns Android's packed pixels into planes: all red, then all green, then all blue.
 *
 * @param pixels ARGB, one Int for each pixel
 */
fun pixelsToRaw(pixels: IntArray): ByteArray =
    ByteArray(3 * pixels.size) { i ->
        (pixels[i % pixels.size] shr (16 - 8 * (i / pixels.size))).toByte()
    }

/** Largest absolute difference; infinite if the lengths differ or a value is not a number. */
fun largestDifference(expected: FloatArray, got: FloatArray): Double {
    if (expected.size != got.size) return Double.POSITIVE_INFINITY
    var largest = 0.0
    for (i in expected.indices) {
        val difference = abs(expected[i].toDouble() - got[i])
        if (!difference.isFinite()) return Double.POSITIVE_INFINITY
        largest = maxOf(largest, difference)
    }
    return largest
}
