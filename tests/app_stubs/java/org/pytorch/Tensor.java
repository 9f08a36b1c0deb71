package org.pytorch;

public abstract class Tensor {
    public static Tensor fromBlob(float[] data, long[] shape) { return null; }
    public float[] getDataAsFloatArray() { return null; }
}
