import Foundation

/// Threads of one inference. More is not always faster: see README.md.
let threads: Int32 = 1

/// Opens a .ptl in the lite interpreter.
func openModel(path: String, shape: [Int]) throws -> ([Float]) throws -> [Float] {
    let bridge = try LiteBridge(
        path: path, shape: shape.map { NSNumber(value: $0) }, threads: threads)
    return { input in
        try bridge.run(input.withUnsafeBytes { Data($0) }).floats
    }
}
