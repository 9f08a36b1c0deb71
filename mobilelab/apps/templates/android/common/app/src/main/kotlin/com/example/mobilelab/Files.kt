package com.example.mobilelab

import android.content.Context
import java.io.File

/** The text of a file among the assets. */
fun Context.assetText(name: String): String =
    assets.open(name).bufferedReader().use { it.readText() }

/** The runtime wants a path, and an asset has none: copy it. Anew each time, it may be newer. */
fun Context.assetOnDisk(name: String): String {
    val file = File(filesDir, name)
    assets.open(name).use { asset -> file.outputStream().use { asset.copyTo(it) } }
    return file.absolutePath
}
