"""Model files whose Python source is lost: read, judged, rewritten, and proved."""
