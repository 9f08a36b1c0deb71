#include "LiteModel.hpp"

#include <functional>
#include <numeric>
#include <stdexcept>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/jit/mobile/import.h>
#include <torch/csrc/jit/mobile/module.h>

struct LiteModel::Inside {
    torch::jit::mobile::Module module;
    std::vector<std::int64_t> shape;
};

LiteModel::LiteModel(const std::string &path, const std::vector<std::int64_t> &shape,
                     int threads) {
    // int8 weights are packed while loading, for the one engine that phones have.
    at::globalContext().setQEngine(at::QEngine::QNNPACK);
    at::set_num_threads(threads);
    inside.reset(new Inside{torch::jit::_load_for_mobile(path), shape});
}

LiteModel::~LiteModel() = default;

std::vector<float> LiteModel::run(const float *input, std::size_t count) {
    const auto &shape = inside->shape;
    const auto wanted =
        std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
    // The kernels do not all check this themselves.
    if (static_cast<std::int64_t>(count) != wanted)
        throw std::invalid_argument("the input has " + std::to_string(count) +
                                    " values but the model wants " + std::to_string(wanted));
    c10::InferenceMode guard;
    auto tensor = at::from_blob(const_cast<float *>(input), shape, at::kFloat);
    auto scores = inside->module.forward({tensor}).toTensor().contiguous();
    const float *first = scores.data_ptr<float>();
    return std::vector<float>(first, first + scores.numel());
}
