import SwiftUI

/// First screen: do the bundled photographs give on this phone what they gave in Python?
struct SelfCheckView: View {
    @State private var lab: Lab?
    @State private var passed: Bool?
    @State private var details = ""

    var body: some View {
        ScrollView {
            VStack(alignment: .leading, spacing: 16) {
                Text(verdict).font(.title).foregroundStyle(colour)
                Text(details)
                if let lab {
                    NavigationLink("Try it") { TryView(lab: lab) }
                }
            }
            .frame(maxWidth: .infinity, alignment: .leading)
            .padding()
        }
        .task { await check() }
    }

    private var verdict: String {
        switch passed {
        case .none: return "Checking ..."
        case .some(true): return "PASS: as in Python"
        case .some(false): return "FAIL: not as in Python"
        }
    }

    private var colour: Color {
        switch passed {
        case .none: return .primary
        case .some(true): return Color(red: 0, green: 0.43, blue: 0.24)
        case .some(false): return Color(red: 0.7, green: 0, blue: 0.12)
        }
    }

    private func check() async {
        guard passed == nil else { return }
        let outcome = await Task.detached { () -> (Lab?, Bool, String) in
            do {
                let lab = try Lab()
                let report = try lab.selfCheck()
                let time = try lab.medianMilliseconds()
                return (lab, report.passed, describe(report, time))
            } catch {
                // A missing operator, an unknown version, a damaged file: say it, do not hide it.
                return (nil, false, error.localizedDescription)
            }
        }.value
        (lab, passed, details) = outcome
    }
}

private func describe(_ report: Report, _ milliseconds: Double) -> String {
    func word(_ agrees: Bool) -> String { agrees ? "ok" : "DIFFERENT" }
    let time = String(format: "%.2f", milliseconds)
    return """
        Letterbox: \(word(report.inputsAgree))
        largest difference \(report.inputDifference)

        Model: \(word(report.outputsAgree))
        relative error \(report.outputError)

        Boxes: \(word(report.boxesAgree))
        \(report.boxes) boxes, largest difference \(report.boxDifference) pixels

        Median of \(Lab.runs) runs on this phone: \(time) ms
        """
}
