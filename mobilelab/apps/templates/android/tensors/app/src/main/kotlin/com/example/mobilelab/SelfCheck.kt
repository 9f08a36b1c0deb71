package com.example.mobilelab

import kotlin.math.abs
import kotlin.math.sqrt

/** One example, and what the model answered to it in Python. Nothing of Android here. */
class Case(val inputs: List<NamedTensor>, val outputs: List<NamedTensor>)

/**
 * All examples, and how far the app may be from Python.
 *
 * @property tolerance L2 norm of the difference of a float answer over the norm of the answer, over
 *     all examples; whole numbers have to be equal
 */
class Expected(val tolerance: Double, val cases: List<Case>)

/** What the self-check found about one answer, over all examples. */
class Line(val name: String, val error: Double, val largest: Double, val agrees: Boolean)

/** What the self-check found. */
class Report(val lines: List<Line>, val cases: Int) {
    val passed: Boolean = cases > 0 && lines.isNotEmpty() && lines.all { it.agrees }
}

/**
 * Runs every example and compares each of its answers with Python's.
 *
 * Answers are found by their name. Where the runtime gives none, they are taken in their order.
 */
fun selfCheck(expected: Expected, run: Run): Report {
    val sums = LinkedHashMap<String, Sums>()
    for (case in expected.cases) {
        val found = run(case.inputs)
        val named = found.associateBy { it.name }
        case.outputs.forEachIndexed { i, wanted ->
            val inOrder = if (found.size == case.outputs.size) found[i] else null
            val got = named[wanted.name] ?: inOrder
            sums.getOrPut(wanted.name) { Sums(isCount(wanted)) }.add(wanted, got)
        }
    }
    val lines = sums.map { (name, sum) -> sum.line(name, expected.tolerance) }
    return Report(lines, expected.cases.size)
}

private class Sums(val count: Boolean) {
    private var distance = 0.0
    private var norm = 0.0
    private var largest = 0.0

    fun add(wanted: NamedTensor, got: NamedTensor?) {
        val a = numbers(wanted)
        val b = got?.let(::numbers)
        if (b == null || a.size != b.size || !wanted.shape.contentEquals(got.shape)) {
            largest = Double.POSITIVE_INFINITY
            return
        }
        for (i in a.indices) {
            if (a[i] == b[i] || (a[i].isNaN() && b[i].isNaN())) {
                if (a[i].isFinite()) norm += a[i] * a[i]
                continue
            }
            val difference = abs(a[i] - b[i])
            largest = if (difference.isNaN()) Double.POSITIVE_INFINITY else maxOf(largest, difference)
            distance += difference * difference
            norm += a[i] * a[i]
        }
    }

    fun line(name: String, tolerance: Double): Line {
        val error = if (largest == 0.0) 0.0 else sqrt(distance) / sqrt(norm)
        val known = if (error.isFinite() && largest.isFinite()) error else Double.POSITIVE_INFINITY
        val agrees = if (count) largest == 0.0 else known <= tolerance
        return Line(name, known, largest, agrees)
    }
}

private fun isCount(tensor: NamedTensor) = !tensor.dtype.startsWith("float")

/** The elements of a tensor as numbers; whole ones above 2^53 lose their last digits. */
fun numbers(tensor: NamedTensor): DoubleArray = when (val data = tensor.data) {
    is FloatArray -> DoubleArray(data.size) { data[it].toDouble() }
    is DoubleArray -> data
    is LongArray -> DoubleArray(data.size) { data[it].toDouble() }
    is IntArray -> DoubleArray(data.size) { data[it].toDouble() }
    is ByteArray -> {
        val unsigned = tensor.dtype == "uint8"
        DoubleArray(data.size) { (if (unsigned) data[it].toInt() and 0xff else data[it].toInt()).toDouble() }
    }
    else -> error("no numbers in ${tensor.dtype}")
}
