package com.example.mobilelab

import android.app.Activity
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.os.Bundle
import android.widget.Button
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.TextView

/** Second screen: draw (one channel) or choose a picture (three channels), and see the answer. */
class TryActivity : Activity() {
    private lateinit var answer: TextView
    private lateinit var picture: ImageView
    private val lab by lazy { Lab(applicationContext) }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        answer = TextView(this).apply { textSize = 28f }
        picture = ImageView(this).apply { adjustViewBounds = true }
        val column = LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            setPadding(48, 48, 48, 48)
        }
        column.fitsSystemWindows = true
        column.addView(answer)
        if (lab.preprocessing.channels == 1) addDrawing(column) else addPicture(column)
        setContentView(column)
    }

    private fun addDrawing(column: LinearLayout) {
        answer.text = "Draw"
        val drawing = DrawingView(this)
        val side = lab.expected.height * lab.expected.width // both sides divide it
        drawing.onDrawn = {
            val raw = inkToRaw(
                drawing.ink(side), side, lab.expected.height, lab.expected.width,
                lab.preprocessing.maxValue,
            )
            show(raw)
        }
        val clear = Button(this).apply {
            text = "Clear"
            setOnClickListener { drawing.clear() }
        }
        column.addView(clear)
        column.addView(drawing)
    }

    private fun addPicture(column: LinearLayout) {
        answer.text = "Choose a picture"
        val choose = Button(this).apply {
            text = "Choose"
            setOnClickListener {
                val intent = Intent(Intent.ACTION_GET_CONTENT).setType("image/*")
                startActivityForResult(intent, CHOOSE)
            }
        }
        column.addView(choose)
        column.addView(picture)
    }

    @Deprecated("The framework's own way; androidx.activity has a newer one")
    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        super.onActivityResult(requestCode, resultCode, data)
        val uri = data?.data
        if (requestCode != CHOOSE || resultCode != RESULT_OK || uri == null) return
        val photo = contentResolver.openInputStream(uri).use { BitmapFactory.decodeStream(it) }
        if (photo == null) {
            answer.text = "This is not a picture that Android can read"
            return
        }
        // The middle square, then the size of the raw test images: no stretching.
        val edge = minOf(photo.width, photo.height)
        val left = (photo.width - edge) / 2
        val top = (photo.height - edge) / 2
        val square = Bitmap.createBitmap(photo, left, top, edge, edge)
        val width = lab.expected.width
        val height = lab.expected.height
        val small = Bitmap.createScaledBitmap(square, width, height, true)
        picture.setImageBitmap(small)
        val pixels = IntArray(width * height)
        small.getPixels(pixels, 0, width, 0, 0, width, height)
        show(pixelsToRaw(pixels))
    }

    private fun show(raw: ByteArray) {
        val (name, share) = lab.classify(raw)
        // A softmax is not a probability of being right: it is high for nonsense too.
        answer.text = "$name  (softmax ${"%.0f".format(100 * share)} %)"
    }

    private companion object {
        const val CHOOSE = 1
    }
}
