package android.app;

import android.content.Context;
import android.content.Intent;
import android.os.Bundle;
import android.view.View;

public class Activity extends Context {
    public static final int RESULT_OK = -1;
    protected void onCreate(Bundle savedInstanceState) {}
    protected void onActivityResult(int requestCode, int resultCode, Intent data) {}
    public void setContentView(View view) {}
    public void startActivity(Intent intent) {}
    public void startActivityForResult(Intent intent, int requestCode) {}
    public final void runOnUiThread(Runnable action) {}
}
