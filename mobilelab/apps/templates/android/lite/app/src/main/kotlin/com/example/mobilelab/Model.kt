package com.example.mobilelab

import org.pytorch.DType
import org.pytorch.IValue
import org.pytorch.LiteModuleLoader
import org.pytorch.PyTorchAndroid
import org.pytorch.Tensor

/** Threads of one inference. More is not always faster: see README.md. */
const val THREADS = 1

/** Opens a .ptl in the lite interpreter. */
fun openModel(path: String): Run {
    PyTorchAndroid.setNumThreads(THREADS)
    // Not Module.load: that one asks for a library that the lite artefact does not have.
    val module = LiteModuleLoader.load(path)
    return { inputs ->
        val values = inputs.map { IValue.from(pack(it)) }
        answers(module.forward(*values.toTypedArray()), "")
    }
}

private fun pack(tensor: NamedTensor): Tensor = when (val data = tensor.data) {
    is FloatArray -> Tensor.fromBlob(data, tensor.shape)
    is DoubleArray -> Tensor.fromBlob(data, tensor.shape)
    is LongArray -> Tensor.fromBlob(data, tensor.shape)
    is IntArray -> Tensor.fromBlob(data, tensor.shape)
    is ByteArray ->
        if (tensor.dtype == "uint8") Tensor.fromBlobUnsigned(data, tensor.shape)
        else Tensor.fromBlob(data, tensor.shape)
    else -> error("no tensor can be made of ${tensor.dtype}")
}

/** The tensors of an answer, which may be a tuple, a list or a dictionary of them. */
private fun answers(value: IValue, at: String): List<NamedTensor> = when {
    value.isTensor -> listOf(unpack(value.toTensor(), at))
    value.isTuple -> value.toTuple().flatMapIndexed { i, part -> answers(part, path(at, i)) }
    value.isTensorList -> value.toTensorList().mapIndexed { i, part -> unpack(part, path(at, i)) }
    value.isList -> value.toList().flatMapIndexed { i, part -> answers(part, path(at, i)) }
    value.isDictStringKey ->
        value.toDictStringKey().flatMap { (name, part) -> answers(part, path(at, name)) }
    value.isNull -> emptyList()
    else -> error("the answer $at is no tensor")
}

private fun unpack(tensor: Tensor, at: String): NamedTensor {
    val shape = tensor.shape()
    return when (tensor.dtype()) {
        DType.FLOAT32 -> NamedTensor(at, "float32", shape, tensor.dataAsFloatArray)
        DType.FLOAT64 -> NamedTensor(at, "float64", shape, tensor.dataAsDoubleArray)
        DType.INT64 -> NamedTensor(at, "int64", shape, tensor.dataAsLongArray)
        DType.INT32 -> NamedTensor(at, "int32", shape, tensor.dataAsIntArray)
        DType.INT8 -> NamedTensor(at, "int8", shape, tensor.dataAsByteArray)
        DType.UINT8 -> NamedTensor(at, "uint8", shape, tensor.dataAsUnsignedByteArray)
        else -> error("the answer $at is of a type that this app does not read")
    }
}
