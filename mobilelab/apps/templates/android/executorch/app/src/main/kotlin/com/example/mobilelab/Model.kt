package com.example.mobilelab

import org.pytorch.executorch.DType
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** Opens a .pte in ExecuTorch. The file has no names for its answers: they are counted. */
fun openModel(path: String): Run {
    val module = Module.load(path)
    return { inputs ->
        val values = inputs.map { EValue.from(pack(it)) }
        val found = module.forward(*values.toTypedArray())
        found.mapIndexed { i, value ->
            unpack(value.toTensor(), if (found.size == 1) "" else "$i")
        }
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

private fun unpack(tensor: Tensor, at: String): NamedTensor {
    val shape = tensor.shape()
    return when (tensor.dtype()) {
        DType.FLOAT -> NamedTensor(at, "float32", shape, tensor.dataAsFloatArray)
        DType.DOUBLE -> NamedTensor(at, "float64", shape, tensor.dataAsDoubleArray)
        DType.INT64 -> NamedTensor(at, "int64", shape, tensor.dataAsLongArray)
        DType.INT32 -> NamedTensor(at, "int32", shape, tensor.dataAsIntArray)
        DType.INT8 -> NamedTensor(at, "int8", shape, tensor.dataAsByteArray)
        DType.UINT8 -> NamedTensor(at, "uint8", shape, tensor.dataAsUnsignedByteArray)
        else -> error("the answer $at is of a type that this app does not read")
    }
}
