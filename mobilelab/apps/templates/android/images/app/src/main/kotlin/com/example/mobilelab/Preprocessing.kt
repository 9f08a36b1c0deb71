package com.example.mobilelab

import kotlin.math.roundToInt

/**
 * What happens to raw pixels before the network sees them: the same as in Python, in the same
 * order. Scale, resize bilinearly (corners not aligned), normalise channel by channel.
 *
 * There is nothing of Android in this file, so it runs on any JVM.
 *
 * @property maxValue raw value that becomes 1.0
 * @property mean mean of each channel after scaling
 * @property std standard deviation of each channel after scaling
 * @property size height and width in pixels that the network expects
 */
class Preprocessing(
    val maxValue: Float,
    val mean: FloatArray,
    val std: FloatArray,
    val size: Int,
) {
    val channels: Int = mean.size

    /**
     * Turns a raw image into network input.
     *
     * @param raw unsigned bytes, one plane after the other: channels x height x width
     * @return floats, channels x size x size
     */
    fun prepare(raw: ByteArray, height: Int, width: Int): FloatArray {
        require(raw.size == channels * height * width) {
            "expected $channels x $height x $width raw values but got ${raw.size}"
        }
        val rows = Taps.of(height, size)
        val columns = Taps.of(width, size)
        val out = FloatArray(channels * size * size)
        for (c in 0 until channels) {
            fun at(y: Int, x: Int) = (raw[(c * height + y) * width + x].toInt() and 0xff) / maxValue
            for (y in 0 until size) {
                val down = rows.weight[y]
                for (x in 0 until size) {
                    val right = columns.weight[x]
                    val top = (1 - right) * at(rows.first[y], columns.first[x]) +
                        right * at(rows.first[y], columns.second[x])
                    val bottom = (1 - right) * at(rows.second[y], columns.first[x]) +
                        right * at(rows.second[y], columns.second[x])
                    val value = (1 - down) * top + down * bottom
                    out[(c * size + y) * size + x] = (value - mean[c]) / std[c]
                }
            }
        }
        return out
    }
}

/**
 * Turns a drawing into a raw image: the share of ink in each block, times the value of full ink.
 * The bundled digits were made like this from paper: 32 x 32 dots, counted in blocks of 4 x 4.
 *
 * @param ink 0 (paper) to 1 (ink), side x side
 * @return unsigned bytes, height x width
 */
fun inkToRaw(ink: FloatArray, side: Int, height: Int, width: Int, maxValue: Float): ByteArray {
    require(ink.size == side * side && side % height == 0 && side % width == 0) {
        "a drawing of $side x $side does not divide into $height x $width blocks"
    }
    val tall = side / height
    val wide = side / width
    return ByteArray(height * width) { i ->
        val top = i / width * tall
        val left = i % width * wide
        var sum = 0f
        for (y in top until top + tall) for (x in left until left + wide) sum += ink[y * side + x]
        (sum / (tall * wide) * maxValue).roundToInt().toByte()
    }
}
