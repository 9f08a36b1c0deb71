package com.example.mobilelab

import android.app.Activity
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.os.Bundle
import android.widget.Button
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.TextView

/** Second screen: choose a picture, and see the boxes on it. */
class TryActivity : Activity() {
    private lateinit var answer: TextView
    private lateinit var picture: ImageView
    private val lab by lazy { Lab(applicationContext) }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        answer = TextView(this).apply {
            textSize = 20f
            text = "Choose a picture"
        }
        picture = ImageView(this).apply { adjustViewBounds = true }
        val choose = Button(this).apply {
            text = "Choose"
            setOnClickListener {
                val intent = Intent(Intent.ACTION_GET_CONTENT).setType("image/*")
                startActivityForResult(intent, CHOOSE)
            }
        }
        val column = LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            setPadding(48, 48, 48, 48)
        }
        column.fitsSystemWindows = true
        column.addView(answer)
        column.addView(choose)
        column.addView(picture)
        setContentView(column)
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
        // About as large as the pictures that the network was trained on. The letterbox does not
        // average pixels, so a picture of a camera would reach the network as noise.
        val longest = maxOf(photo.width, photo.height)
        val width = maxOf(1, photo.width * LONGEST / longest)
        val height = maxOf(1, photo.height * LONGEST / longest)
        val small = Bitmap.createScaledBitmap(photo, width, height, true)
        val pixels = IntArray(width * height)
        small.getPixels(pixels, 0, width, 0, 0, width, height)
        val boxes = lab.detect(pixelsToRaw(pixels), height, width)
        picture.setImageBitmap(drawn(small, boxes))
        answer.text = boxes.joinToString("\n") { box ->
            "${lab.labels[box.label]}, score ${"%.2f".format(box.score)}"
        }.ifEmpty { "Nothing found" }
    }

    private fun drawn(photo: Bitmap, boxes: List<Box>): Bitmap {
        val copy = photo.copy(Bitmap.Config.ARGB_8888, true)
        val canvas = Canvas(copy)
        val line = Paint().apply {
            style = Paint.Style.STROKE
            strokeWidth = 2f
            color = Color.rgb(230, 159, 0)
        }
        for (box in boxes) canvas.drawRect(box.x0, box.y0, box.x1, box.y1, line)
        return copy
    }

    private companion object {
        const val CHOOSE = 1
        const val LONGEST = 240
    }
}
