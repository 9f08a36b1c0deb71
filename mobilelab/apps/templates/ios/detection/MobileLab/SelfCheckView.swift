import SwiftUI

/// First screen: do the bundled photographs give on this phone what they gave in Python?
struct SelfCheckView: View {
    var body: some View {
        CheckFrame { lab in
            let report = try lab.selfCheck()
            let time = try timed(lab.call())
            return (report.passed, describe(report, time))
        } more: { lab in
            NavigationLink("Try it") { TryView(lab: lab) }
        }
    }
}

private func describe(_ report: Report, _ time: String) -> String {
    func word(_ agrees: Bool) -> String { agrees ? "ok" : "DIFFERENT" }
    return """
        Letterbox: \(word(report.inputsAgree))
        largest difference \(report.inputDifference)

        Model: \(word(report.outputsAgree))
        relative error \(report.outputError)

        Boxes: \(word(report.boxesAgree))
        \(report.boxes) boxes, largest difference \(report.boxDifference) pixels

        \(time)
        """
}
