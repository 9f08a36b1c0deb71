package com.example.mobilelab

import kotlin.math.exp
import kotlin.math.max
import kotlin.math.min

// The part of the app that is not the network: from pixels to its input, from its outputs to boxes.
// The same steps in the same order as in Python. Nothing of Android here, so it runs on any JVM.

/** Where a photograph lies in the square, in pixels of the square. */
class Place(val top: Int, val left: Int, val height: Int, val width: Int)

/**
 * A photograph of any shape in the square that the network takes: made smaller without
 * stretching, the rest filled with grey.
 *
 * @property size height and width of the square in pixels
 * @property fill raw value of the pixels around the photograph
 * @property maxValue raw value that becomes 1.0
 */
class Letterbox(
    val size: Int,
    val fill: Float,
    val maxValue: Float,
    val mean: FloatArray,
    val std: FloatArray,
) {
    /** Where a photograph of that size lies. Whole numbers only; a half is rounded up. */
    fun place(height: Int, width: Int): Place {
        val longest = max(height, width)
        val tall = max(1, (2 * height * size + longest) / (2 * longest))
        val wide = max(1, (2 * width * size + longest) / (2 * longest))
        return Place((size - tall) / 2, (size - wide) / 2, tall, wide)
    }

    /**
     * Turns raw pixels into network input.
     *
     * @param raw unsigned bytes, one plane after the other: 3 x height x width
     * @return floats, 3 x size x size
     */
    fun prepare(raw: ByteArray, height: Int, width: Int): FloatArray {
        require(raw.size == mean.size * height * width) {
            "expected ${mean.size} x $height x $width raw values but got ${raw.size}"
        }
        val place = place(height, width)
        val rows = Taps.of(height, place.height)
        val columns = Taps.of(width, place.width)
        val out = FloatArray(mean.size * size * size)
        for (c in mean.indices) {
            fun at(y: Int, x: Int) = (raw[(c * height + y) * width + x].toInt() and 0xff) / maxValue
            val grey = (fill / maxValue - mean[c]) / std[c]
            out.fill(grey, c * size * size, (c + 1) * size * size)
            for (y in 0 until place.height) {
                val down = rows.weight[y]
                for (x in 0 until place.width) {
                    val right = columns.weight[x]
                    val top = (1 - right) * at(rows.first[y], columns.first[x]) +
                        right * at(rows.first[y], columns.second[x])
                    val bottom = (1 - right) * at(rows.second[y], columns.first[x]) +
                        right * at(rows.second[y], columns.second[x])
                    val value = (1 - down) * top + down * bottom
                    out[(c * size + place.top + y) * size + place.left + x] =
                        (value - mean[c]) / std[c]
                }
            }
        }
        return out
    }

    /** A box in the square, back on the photograph, cut off at its edges. */
    fun back(box: Box, height: Int, width: Int): Box {
        val place = place(height, width)
        val across = width.toFloat() / place.width
        val along = height.toFloat() / place.height
        fun x(value: Float) = min(max((value - place.left) * across, 0f), width.toFloat())
        fun y(value: Float) = min(max((value - place.top) * along, 0f), height.toFloat())
        return Box(x(box.x0), y(box.y0), x(box.x1), y(box.y1), box.score, box.label)
    }
}

/** Corners in pixels, a score from 0 to 1, and the number of the class. */
class Box(
    val x0: Float,
    val y0: Float,
    val x1: Float,
    val y1: Float,
    val score: Float,
    val label: Int,
)

/**
 * Boxes of all cells: x0, y0, x1, y1 in pixels of the square, one box after the other.
 *
 * @param raw 4 x grid x grid: e to its power are distances from a cell's centre, in strides
 */
fun decode(raw: FloatArray, grid: Int, stride: Int): FloatArray {
    val cells = grid * grid
    val boxes = FloatArray(4 * cells)
    for (cell in 0 until cells) {
        val x = (cell % grid + 0.5f) * stride
        val y = (cell / grid + 0.5f) * stride
        boxes[4 * cell] = x - exp(raw[cell]) * stride
        boxes[4 * cell + 1] = y - exp(raw[cells + cell]) * stride
        boxes[4 * cell + 2] = x + exp(raw[2 * cells + cell]) * stride
        boxes[4 * cell + 3] = y + exp(raw[3 * cells + cell]) * stride
    }
    return boxes
}

/**
 * Numbers of the boxes that stay, best first; of equal scores the first box is the better one.
 *
 * @param boxes x0, y0, x1, y1, one box after the other
 * @param iou a box is dropped if it overlaps a better one by more than this
 */
fun nms(boxes: FloatArray, scores: FloatArray, iou: Double): List<Int> {
    fun area(i: Int) = (boxes[4 * i + 2] - boxes[4 * i]) * (boxes[4 * i + 3] - boxes[4 * i + 1])
    val dropped = BooleanArray(scores.size)
    val kept = mutableListOf<Int>()
    for (i in scores.indices.sortedByDescending { scores[it] }) { // a stable sort
        if (dropped[i]) continue
        kept += i
        for (j in scores.indices) {
            val wide = min(boxes[4 * i + 2], boxes[4 * j + 2]) - max(boxes[4 * i], boxes[4 * j])
            val tall =
                min(boxes[4 * i + 3], boxes[4 * j + 3]) - max(boxes[4 * i + 1], boxes[4 * j + 1])
            val shared = max(0f, wide) * max(0f, tall)
            if (shared / (area(i) + area(j) - shared) > iou) dropped[j] = true
        }
    }
    return kept
}

/**
 * From the network's outputs to boxes: decode, drop what scores low, suppress class by class.
 *
 * @property stride pixels of the square from one cell to the next
 * @property least boxes with a lower score are dropped
 * @property most boxes that stay at most, the best ones
 */
class Chooser(val stride: Int, val least: Float, val iou: Double, val most: Int) {
    /**
     * @param scores logits, classes x grid x grid
     * @param raw see [decode]
     * @return boxes in the square, best first; of equal scores, the lower class and cell first
     */
    fun choose(scores: FloatArray, raw: FloatArray, grid: Int): List<Box> {
        val cells = grid * grid
        val boxes = decode(raw, grid, stride)
        val found = mutableListOf<Box>()
        for (label in 0 until scores.size / cells) {
            val likely = FloatArray(cells) { 1 / (1 + exp(-scores[label * cells + it])) }
            val above = likely.indices.filter { likely[it] >= least }
            val corners = FloatArray(4 * above.size) { boxes[4 * above[it / 4] + it % 4] }
            val kept = nms(corners, FloatArray(above.size) { likely[above[it]] }, iou)
            for (cell in kept.map { above[it] }.sorted()) {
                val at = 4 * cell
                found += Box(
                    boxes[at], boxes[at + 1], boxes[at + 2], boxes[at + 3], likely[cell], label,
                )
            }
        }
        return found.sortedByDescending { it.score }.take(most)
    }
}
