// What a model asks and says, from C++: signature MODEL
//
//     c++ signature.cc -o signature $(pkg-config --cflags --libs quern)
#include <quern.h>

#include <cstdio>
#include <memory>
#include <stdexcept>

namespace {

struct Free {
    void operator()(qn_model *model) const { qn_model_free(&model); }
    void operator()(qn_signature *signature) const { qn_signature_free(&signature); }
};

std::unique_ptr<qn_signature, Free> signature_of(const char *path) {
    qn_error err = {};
    qn_model *model = nullptr;
    qn_signature *signature = nullptr;
    if (qn_model_open(path, &model, &err) != QN_OK)
        throw std::runtime_error(err.message);
    std::unique_ptr<qn_model, Free> owner(model);
    if (qn_signature_new(model, &signature, &err) != QN_OK)
        throw std::runtime_error(err.message);
    return std::unique_ptr<qn_signature, Free>(signature);
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2)
        return std::fprintf(stderr, "usage: signature MODEL\n"), 2;
    try {
        auto signature = signature_of(argv[1]);
        std::printf("%s of %s by %s\n", qn_task_name(signature->task), signature->target,
                    signature->family);
        for (int i = 0; i < signature->n_inputs; i++) {
            const qn_input *input = qn_signature_input(signature.get(), i);
            std::printf("%s: %s\n", input->name, qn_type_name(input->type));
        }
    } catch (const std::exception &problem) {
        return std::fprintf(stderr, "signature: %s\n", problem.what()), 1;
    }
    return 0;
}
