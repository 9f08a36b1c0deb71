package com.example.mobilelab

import org.pytorch.IValue
import org.pytorch.LiteModuleLoader
import org.pytorch.PyTorchAndroid
import org.pytorch.Tensor

/** Threads of one inference. More is not always faster: see README.md. */
const val THREADS = 1

/** Opens a .ptl in the lite interpreter. */
fun openModel(path: String, preprocessing: Preprocessing): (FloatArray) -> FloatArray {
    PyTorchAndroid.setNumThreads(THREADS)
    // Not Module.load: that one asks for a library that the lite artefact does not have.
    val module = LiteModuleLoader.load(path)
    val size = preprocessing.size.toLong()
    val shape = longArrayOf(1, preprocessing.channels.toLong(), size, size)
    return { input ->
        module.forward(IValue.from(Tensor.fromBlob(input, shape))).toTensor().dataAsFloatArray
    }
}
