package com.example.mobilelab

/**
 * A tensor on its way into the model or out of it. Nothing of PyTorch here.
 *
 * @property name its path among the inputs or answers; files without names count from 0
 * @property dtype float32, float64, int64, int32, int8 or uint8, as in Python
 * @property data a FloatArray, DoubleArray, LongArray, IntArray or ByteArray, row by row
 */
class NamedTensor(val name: String, val dtype: String, val shape: LongArray, val data: Any)

/** Runs a model: its inputs in their order, its answers in theirs. */
typealias Run = (List<NamedTensor>) -> List<NamedTensor>

/** The path of a part of an answer. */
fun path(whole: String, part: Any): String = if (whole.isEmpty()) "$part" else "$whole.$part"
