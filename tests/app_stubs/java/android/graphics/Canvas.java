package android.graphics;

public class Canvas {
    public Canvas() {}
    public Canvas(Bitmap bitmap) {}
    public void scale(float sx, float sy) {}
    public void drawColor(int color) {}
    public void drawRect(float left, float top, float right, float bottom, Paint paint) {}
    public void drawPath(Path path, Paint paint) {}
}
