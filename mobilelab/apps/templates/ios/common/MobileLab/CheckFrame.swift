import SwiftUI

/// The frame of every first screen: a verdict, what it rests on, and what stands below.
struct CheckFrame<More: View>: View {
    /// Whether this phone answers as Python did, and the figures. Not on the screen's thread.
    let check: @Sendable (Lab) throws -> (Bool, String)
    @ViewBuilder let more: (Lab) -> More

    @State private var lab: Lab?
    @State private var passed: Bool?
    @State private var details = ""

    var body: some View {
        ScrollView {
            VStack(alignment: .leading, spacing: 16) {
                Text(verdict).font(.title).foregroundStyle(colour)
                Text(details)
                if let lab { more(lab) }
            }
            .frame(maxWidth: .infinity, alignment: .leading)
            .padding()
        }
        .task { await run() }
    }

    private func run() async {
        guard passed == nil else { return }
        let outcome = await Task.detached { [check] () -> (Lab?, Bool, String) in
            do {
                let lab = try Lab()
                let (passed, details) = try check(lab)
                return (lab, passed, details)
            } catch {
                // A missing operator, an unknown version, a damaged file: say it, do not hide it.
                return (nil, false, error.localizedDescription)
            }
        }.value
        (lab, passed, details) = outcome
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
}

/// A file of the app's bundle.
func bundled(_ name: String) throws -> URL {
    guard let url = Bundle.main.url(forResource: name, withExtension: nil) else {
        throw LabError(errorDescription: "\(name) is not in the app's bundle.")
    }
    return url
}

/// Time of the model alone, after a warm-up. A phone that is warm or charging is slower.
func timed(_ run: () throws -> Void) throws -> String {
    let runs = 50
    for _ in 0..<runs / 5 { try run() }
    var times: [Double] = []
    for _ in 0..<runs {
        let start = DispatchTime.now().uptimeNanoseconds
        try run()
        times.append(Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6)
    }
    let median = String(format: "%.2f", times.sorted()[runs / 2])
    return "Median of \(runs) runs on this phone: \(median) ms"
}
