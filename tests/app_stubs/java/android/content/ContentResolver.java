package android.content;

import android.net.Uri;
import java.io.InputStream;

public abstract class ContentResolver {
    public final InputStream openInputStream(Uri uri) { throw new UnsupportedOperationException(); }
}
