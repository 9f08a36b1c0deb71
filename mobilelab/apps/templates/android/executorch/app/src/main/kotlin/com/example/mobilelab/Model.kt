package com.example.mobilelab

import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** Opens a .pte in ExecuTorch. */
fun openModel(path: String, preprocessing: Preprocessing): (FloatArray) -> FloatArray {
    val module = Module.load(path)
    val size = preprocessing.size.toLong()
    val shape = longArrayOf(1, preprocessing.channels.toLong(), size, size)
    return { input ->
        module.forward(EValue.from(Tensor.fromBlob(input, shape)))[0].toTensor().dataAsFloatArray
    }
}
