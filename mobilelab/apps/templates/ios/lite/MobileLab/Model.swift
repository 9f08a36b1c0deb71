import Foundation

/// Threads of one inference. More is not always faster: see README.md.
let threads: Int32 = 1

/// Opens a .ptl in the lite interpreter.
func openModel(path: String) throws -> Run {
    let bridge = try LiteBridge(path: path, threads: threads)
    return { inputs in
        let values = inputs.map { input -> LiteValue in
            let value = LiteValue()
            value.name = input.name
            value.dtype = input.dtype
            value.shape = input.shape.map { NSNumber(value: $0) }
            value.data = input.data
            return value
        }
        return try bridge.run(values).map {
            NamedTensor(
                name: $0.name, dtype: $0.dtype, shape: $0.shape.map(\.intValue), data: $0.data)
        }
    }
}
