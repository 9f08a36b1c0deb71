#include "LiteModel.hpp"

#include <cstring>
#include <map>
#include <stdexcept>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/jit/mobile/import.h>
#include <torch/csrc/jit/mobile/module.h>

struct LiteModel::Inside {
    torch::jit::mobile::Module module;
};

static const std::map<std::string, at::ScalarType> kTypes = {
    {"float32", at::kFloat}, {"float64", at::kDouble}, {"int64", at::kLong},
    {"int32", at::kInt},     {"int8", at::kChar},      {"uint8", at::kByte},
};

static at::Tensor packed(const LiteTensor &input) {
    const auto type = kTypes.find(input.dtype);
    if (type == kTypes.end()) throw std::invalid_argument("no input can be " + input.dtype);
    // A copy: the model may write into its inputs.
    auto tensor = at::empty(input.shape, at::TensorOptions(type->second));
    const auto wanted = static_cast<std::size_t>(tensor.numel()) * tensor.element_size();
    // The kernels do not all check this themselves.
    if (input.bytes.size() != wanted)
        throw std::invalid_argument("the input has " + std::to_string(input.bytes.size()) +
                                    " bytes but its shape wants " + std::to_string(wanted));
    if (wanted) std::memcpy(tensor.data_ptr(), input.bytes.data(), wanted);
    return tensor;
}

static void unpack(const c10::IValue &value, const std::string &at, std::vector<LiteTensor> &found) {
    const auto part = [&](const std::string &name) { return at.empty() ? name : at + "." + name; };
    if (value.isTensor()) {
        const auto tensor = value.toTensor().contiguous();
        for (const auto &[name, type] : kTypes) {
            if (tensor.scalar_type() != type) continue;
            const auto *first = static_cast<const std::uint8_t *>(tensor.data_ptr());
            const auto size = static_cast<std::size_t>(tensor.numel()) * tensor.element_size();
            LiteTensor answer;
            answer.name = at;
            answer.dtype = name;
            answer.shape = tensor.sizes().vec();
            answer.bytes.assign(first, first + size);
            found.push_back(answer);
            return;
        }
        throw std::runtime_error("the answer " + at + " is of a type that this app does not read");
    }
    if (value.isTuple()) {
        const auto tuple = value.toTuple();
        for (std::size_t i = 0; i < tuple->elements().size(); i++)
            unpack(tuple->elements()[i], part(std::to_string(i)), found);
    } else if (value.isList()) {
        const auto list = value.toList();
        for (std::size_t i = 0; i < list.size(); i++)
            unpack(list.get(i), part(std::to_string(i)), found);
    } else if (value.isGenericDict()) {
        for (const auto &item : value.toGenericDict())
            unpack(item.value(), part(item.key().toStringRef()), found);
    } else if (!value.isNone()) {
        throw std::runtime_error("the answer " + at + " is no tensor");
    }
}

LiteModel::LiteModel(const std::string &path, int threads) {
    // int8 weights are packed while loading, for the one engine that phones have.
    at::globalContext().setQEngine(at::QEngine::QNNPACK);
    at::set_num_threads(threads);
    inside.reset(new Inside{torch::jit::_load_for_mobile(path)});
}

LiteModel::~LiteModel() = default;

std::vector<LiteTensor> LiteModel::run(const std::vector<LiteTensor> &inputs) {
    c10::InferenceMode guard;
    std::vector<c10::IValue> values;
    for (const auto &input : inputs) values.emplace_back(packed(input));
    std::vector<LiteTensor> found;
    unpack(inside->module.forward(values), "", found);
    return found;
}
