package com.example.mobilelab

import kotlin.math.abs
import kotlin.math.sqrt

/**
 * One photograph and what Python made of it, step by step. Nothing of Android here either.
 *
 * @property raw unsigned bytes, 3 x height x width
 * @property input the network input that Python's letterbox made of them
 * @property scores the network's logits, classes x grid x grid
 * @property rawBoxes the network's other output, 4 x grid x grid
 * @property boxes what Python chose of these two, on the photograph
 */
class TestVector(
    val raw: ByteArray,
    val input: FloatArray,
    val scores: FloatArray,
    val rawBoxes: FloatArray,
    val boxes: List<Box>,
)

/**
 * All photographs, and how far the app may be from Python.
 *
 * @property inputTolerance largest absolute difference of any input value
 * @property outputTolerance L2 norm of the difference over the norm, for each of the two outputs
 * @property boxTolerance largest difference of a corner in pixels, and of a score
 */
class Expected(
    val height: Int,
    val width: Int,
    val grid: Int,
    val inputTolerance: Double,
    val outputTolerance: Double,
    val boxTolerance: Double,
    val vectors: List<TestVector>,
)

/** What the self-check found, for each of the three steps. */
class Report(
    val inputDifference: Double,
    val outputError: Double,
    val boxDifference: Double,
    val boxes: Int,
    expected: Expected,
) {
    /** Does the app's letterbox make what Python's made? */
    val inputsAgree: Boolean = inputDifference <= expected.inputTolerance

    /** Does the model answer to Python's input as in Python? */
    val outputsAgree: Boolean = outputError <= expected.outputTolerance

    /** Does the app choose the boxes that Python chose, of the same outputs? */
    val boxesAgree: Boolean = boxDifference <= expected.boxTolerance && boxes > 0

    val passed: Boolean = inputsAgree && outputsAgree && boxesAgree
}

/** The network: its input to logits and raw boxes. */
typealias Network = (FloatArray) -> Pair<FloatArray, FloatArray>

/**
 * Compares each step with Python's by itself: it gets what Python recorded, not what the step
 * before made of it. So a difference names the step that it comes from.
 */
fun selfCheck(letterbox: Letterbox, chooser: Chooser, expected: Expected, run: Network): Report {
    var inputDifference = 0.0
    var boxDifference = 0.0
    val scores = Distance()
    val rawBoxes = Distance()
    for (vector in expected.vectors) {
        val input = letterbox.prepare(vector.raw, expected.height, expected.width)
        inputDifference = maxOf(inputDifference, largestDifference(vector.input, input))
        val (gotScores, gotBoxes) = run(vector.input)
        scores.add(vector.scores, gotScores)
        rawBoxes.add(vector.rawBoxes, gotBoxes)
        val boxes = chooser.choose(vector.scores, vector.rawBoxes, expected.grid)
            .map { letterbox.back(it, expected.height, expected.width) }
        boxDifference = maxOf(boxDifference, difference(vector.boxes, boxes))
    }
    return Report(
        inputDifference,
        maxOf(scores.relative, rawBoxes.relative),
        boxDifference,
        expected.vectors.sumOf { it.boxes.size },
        expected,
    )
}

/** Largest difference of any corner or score; infinite for another number or class. */
fun difference(expected: List<Box>, got: List<Box>): Double {
    if (expected.map { it.label } != got.map { it.label }) return Double.POSITIVE_INFINITY
    val numbers = { box: Box -> floatArrayOf(box.x0, box.y0, box.x1, box.y1, box.score) }
    return expected.zip(got) { a, b -> largestDifference(numbers(a), numbers(b)) }.maxOrNull() ?: 0.0
}

private class Distance {
    private var distance = 0.0
    private var norm = 0.0

    /** L2 norm of the difference over the norm of what was expected; infinite if not a number. */
    val relative: Double
        get() {
            val error = sqrt(distance) / sqrt(norm)
            return if (error.isFinite()) error else Double.POSITIVE_INFINITY
        }

    fun add(expected: FloatArray, got: FloatArray) {
        if (expected.size != got.size) {
            distance = Double.POSITIVE_INFINITY
            return
        }
        for (i in expected.indices) {
            val difference = abs(expected[i].toDouble() - got[i])
            distance += difference * difference
            norm += expected[i].toDouble() * expected[i]
        }
    }
}
