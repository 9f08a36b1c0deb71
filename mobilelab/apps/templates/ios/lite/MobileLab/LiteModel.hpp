// The lite interpreter behind a plain C++ face. Nothing of Apple in here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

class LiteModel {
public:
    // Loads a .ptl. Throws std::exception with the runtime's own words.
    LiteModel(const std::string &path, const std::vector<std::int64_t> &shape, int threads);
    ~LiteModel();

    // Scores of one input. Throws std::exception if the input does not fit, or the model fails.
    std::vector<float> run(const float *input, std::size_t count);

private:
    struct Inside;
    std::unique_ptr<Inside> inside;
};
