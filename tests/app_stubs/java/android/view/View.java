package android.view;

import android.content.Context;
import android.graphics.Canvas;

public class View {
    public interface OnClickListener { void onClick(View v); }
    public static class MeasureSpec {
        public static int getSize(int measureSpec) { return 0; }
    }
    public View(Context context) {}
    public void setOnClickListener(OnClickListener l) {}
    public void setPadding(int left, int top, int right, int bottom) {}
    public void setFitsSystemWindows(boolean fitSystemWindows) {}
    public boolean getFitsSystemWindows() { return false; }
    public boolean onTouchEvent(MotionEvent event) { return false; }
    public boolean performClick() { return false; }
    public final int getWidth() { return 0; }
    public final int getHeight() { return 0; }
    public void invalidate() {}
    public void draw(Canvas canvas) {}
    protected void onDraw(Canvas canvas) {}
    protected void onMeasure(int widthMeasureSpec, int heightMeasureSpec) {}
    protected final void setMeasuredDimension(int measuredWidth, int measuredHeight) {}
}
