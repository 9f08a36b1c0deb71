// The lite interpreter behind a plain C++ face. Nothing of Apple in here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

// A tensor on its way into the model or out of it. Elements follow one another, row by row.
struct LiteTensor {
    std::string name;   // its path among the answers; "" for an answer that is one tensor
    std::string dtype;  // float32, float64, int64, int32, int8 or uint8, as in Python
    std::vector<std::int64_t> shape;
    std::vector<std::uint8_t> bytes;
};

class LiteModel {
public:
    // Loads a .ptl. Throws std::exception with the runtime's own words.
    LiteModel(const std::string &path, int threads);
    ~LiteModel();

    // Answers to one example. Throws std::exception if an input does not fit, or the model fails.
    std::vector<LiteTensor> run(const std::vector<LiteTensor> &inputs);

private:
    struct Inside;
    std::unique_ptr<Inside> inside;
};
