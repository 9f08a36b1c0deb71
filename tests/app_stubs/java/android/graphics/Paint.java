package android.graphics;

public class Paint {
    public static final int ANTI_ALIAS_FLAG = 1;
    public enum Style { FILL, STROKE }
    public enum Cap { ROUND }
    public enum Join { ROUND }
    public Paint() {}
    public Paint(int flags) {}
    public Style getStyle() { return null; }
    public void setStyle(Style style) {}
    public Cap getStrokeCap() { return null; }
    public void setStrokeCap(Cap cap) {}
    public Join getStrokeJoin() { return null; }
    public void setStrokeJoin(Join join) {}
    public int getColor() { return 0; }
    public void setColor(int color) {}
    public float getStrokeWidth() { return 0; }
    public void setStrokeWidth(float width) {}
}
