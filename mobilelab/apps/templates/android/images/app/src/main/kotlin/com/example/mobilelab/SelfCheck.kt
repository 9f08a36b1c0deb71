package com.example.mobilelab

import kotlin.math.sqrt

/**
 * One test image and what Python made of it. Nothing of Android here either.
 *
 * @property raw unsigned bytes before preprocessing, channels x height x width
 * @property input the network input that Python's preprocessing made of them
 * @property output the scores that the model gave in Python
 */
class TestVector(
    val label: Int,
    val raw: ByteArray,
    val input: FloatArray,
    val output: FloatArray,
)

/**
 * All test images, and how far the app may be from Python.
 *
 * @property inputTolerance largest absolute difference of any input value
 * @property outputTolerance L2 norm of the difference of the scores over the norm of the scores
 */
class Expected(
    val height: Int,
    val width: Int,
    val inputTolerance: Double,
    val outputTolerance: Double,
    val vectors: List<TestVector>,
)

/** What the self-check found. */
class Report(
    val inputDifference: Double,
    val outputDifference: Double,
    val outputError: Double,
    val sameClasses: Int,
    val total: Int,
    expected: Expected,
) {
    /** Does the app's own preprocessing make what Python's made? */
    val inputsAgree: Boolean = inputDifference <= expected.inputTolerance

    /** Do the app's preprocessing and its model together answer as in Python? */
    val outputsAgree: Boolean =
        outputError <= expected.outputTolerance && sameClasses == total && total > 0

    val passed: Boolean = inputsAgree && outputsAgree
}

/**
 * Runs every test image through the app's own preprocessing and model and compares both steps
 * with Python.
 *
 * @param run the model: network input to scores
 */
fun selfCheck(
    preprocessing: Preprocessing,
    expected: Expected,
    run: (FloatArray) -> FloatArray,
): Report {
    var inputDifference = 0.0
    var outputDifference = 0.0
    var distance = 0.0
    var norm = 0.0
    var same = 0
    for (vector in expected.vectors) {
        val input = preprocessing.prepare(vector.raw, expected.height, expected.width)
        val output = run(input)
        inputDifference = maxOf(inputDifference, largestDifference(vector.input, input))
        outputDifference = maxOf(outputDifference, largestDifference(vector.output, output))
        if (output.size == vector.output.size) {
            for (i in output.indices) {
                val difference = output[i].toDouble() - vector.output[i]
                distance += difference * difference
                norm += vector.output[i].toDouble() * vector.output[i]
            }
            if (best(output) == best(vector.output)) same++
        }
    }
    val error = sqrt(distance) / sqrt(norm)
    return Report(
        inputDifference,
        outputDifference,
        if (error.isFinite() && outputDifference.isFinite()) error else Double.POSITIVE_INFINITY,
        same,
        expected.vectors.size,
        expected,
    )
}

/** Index of the highest score. */
fun best(scores: FloatArray): Int = scores.indices.maxBy { scores[it] }
