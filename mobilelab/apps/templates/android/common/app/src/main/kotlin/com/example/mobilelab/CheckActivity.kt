package com.example.mobilelab

import android.app.Activity
import android.graphics.Color
import android.os.Bundle
import android.view.View
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.TextView
import kotlin.concurrent.thread

/** The frame of every first screen: a verdict, and what it rests on. */
abstract class CheckActivity : Activity() {
    private lateinit var verdict: TextView
    private lateinit var details: TextView

    /** Whether this phone answers as Python did, and the figures. Not on the screen's thread. */
    protected abstract fun check(): Pair<Boolean, String>

    /** What stands below. */
    protected open fun more(): List<View> = emptyList()

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        verdict = TextView(this).apply { textSize = 28f }
        details = TextView(this).apply { textSize = 16f }
        val views = listOf(verdict, details) + more()
        val column = LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            setPadding(48, 48, 48, 48)
            views.forEach { view -> addView(view) }
        }
        val screen = ScrollView(this)
        screen.fitsSystemWindows = true
        screen.addView(column)
        setContentView(screen)
        verdict.text = "Checking ..."
        thread {
            try {
                val (passed, text) = check()
                show(passed, text)
            } catch (error: Throwable) {
                // A missing operator, an unknown bytecode version, a damaged file: say it.
                show(false, "${error.javaClass.simpleName}: ${error.message}")
            }
        }
    }

    private fun show(passed: Boolean, text: String) = runOnUiThread {
        verdict.text = if (passed) "PASS: as in Python" else "FAIL: not as in Python"
        verdict.setTextColor(if (passed) GREEN else RED)
        details.text = text
    }

    /** Time of the model alone, after a warm-up. A phone that is warm or charging is slower. */
    protected fun timed(run: () -> Unit): String {
        repeat(RUNS / 5) { run() }
        val times = List(RUNS) {
            val start = System.nanoTime()
            run()
            (System.nanoTime() - start) / 1e6
        }
        val median = times.sorted()[RUNS / 2]
        return "Median of $RUNS runs on this phone: ${"%.2f".format(median)} ms"
    }

    private companion object {
        const val RUNS = 50
        val GREEN = Color.rgb(0, 110, 60)
        val RED = Color.rgb(180, 0, 30)
    }
}
