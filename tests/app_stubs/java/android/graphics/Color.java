package android.graphics;

public class Color {
    public static final int BLACK = 0xff000000;
    public static final int WHITE = 0xffffffff;
    public static int rgb(int red, int green, int blue) { return 0; }
}
