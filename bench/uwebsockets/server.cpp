// uWebSockets, as its README shows it: it corks by itself while it works through a read, and has topics of its own.

#include <App.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <new>
#include <string>
#include <string_view>
#include <thread>

#ifdef COUNT_ALLOCATIONS
// Its C sources call malloc and the like, which the linker turns to these; what is in C++ has operator new.
static std::atomic<size_t> allocation_count, allocated_bytes;

static void note(size_t size) {
    allocation_count.fetch_add(1, std::memory_order_relaxed);
    allocated_bytes.fetch_add(size, std::memory_order_relaxed);
}

extern "C" {
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size) {
    note(size);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    note(count * size);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    note(size);
    return __real_realloc(memory, size);
}
}

void *operator new(size_t size) {
    if (void *memory = malloc(size)) {
        return memory;
    }
    throw std::bad_alloc();
}

void operator delete(void *memory) noexcept {
    free(memory);
}

void operator delete(void *memory, size_t) noexcept {
    free(memory);
}
#endif

// Answers each line with the allocations so far; the end of the input ends the server.
static void listen_to_input() {
    for (std::string line; std::getline(std::cin, line);) {
#ifdef COUNT_ALLOCATIONS
        std::printf("allocations %zu %zu\n", allocation_count.load(), allocated_bytes.load());
#else
        std::puts("allocations are not counted in this build");
#endif
        std::fflush(stdout);
    }
    std::_Exit(0);
}

struct Nothing {};

// How the server was started.
struct Options {
    bool broadcasts = false;
    bool has_topics = false;
    bool keeps_contexts = false;
    const char *cert = nullptr;
    const char *key = nullptr;
};

template <bool SSL>
static void serve(uWS::TemplatedApp<SSL> app, Options options) {
    bool broadcasts = options.broadcasts, has_topics = options.has_topics;
    app.template ws<Nothing>("/*", {
#ifndef UWS_NO_ZLIB
        .compression = options.keeps_contexts
            ? uWS::CompressOptions(uWS::DEDICATED_COMPRESSOR | uWS::DEDICATED_DECOMPRESSOR)
            : uWS::CompressOptions(uWS::SHARED_COMPRESSOR | uWS::SHARED_DECOMPRESSOR),
#endif
        // The largest message of the loads is 1 MiB, and a slow reader is to cost no message.
        .maxPayloadLength = 1 << 20,
        .maxBackpressure = 64 << 20,
        .open = [broadcasts](auto *ws) {
            if (broadcasts) {
                ws->subscribe("all");
            }
        },
        .message = [broadcasts, has_topics, &app](auto *ws, std::string_view message, uWS::OpCode opcode) {
            if (broadcasts) {
                app.publish("all", message, opcode);
            } else if (has_topics && message.size() >= 9 && message[0] == 'p') {
                app.publish(message.substr(1, 8), message, opcode);
            } else {
                // A letter and the name of a topic: join it, and say so.
                if (has_topics && message.size() == 9) {
                    ws->subscribe(message.substr(1));
                }
                // It compresses if it was agreed on.
                ws->send(message, opcode, true);
            }
        },
    });
    app.listen("127.0.0.1", 0, [](auto *socket) {
        if (!socket) {
            std::fputs("no port can be listened on\n", stderr);
            std::_Exit(1);
        }
        std::printf("listening on 127.0.0.1:%d\n", us_socket_local_port(SSL, reinterpret_cast<us_socket_t *>(socket)));
        std::fflush(stdout);
    });
    app.run();
}

int main(int argc, char **argv) {
    Options options;
    for (int i = 1; i < argc; i++) {
        std::string_view word = argv[i];
        options.broadcasts = options.broadcasts || word == "broadcast";
        options.has_topics = options.has_topics || word == "topics";
        options.keeps_contexts = options.keeps_contexts || word == "--contexts";
        if (word == "--cert") {
            options.cert = argv[i + 1];
        } else if (word == "--key") {
            options.key = argv[i + 1];
        }
    }
    std::thread(listen_to_input).detach();
    if (options.cert) {
        serve(uWS::SSLApp({.key_file_name = options.key, .cert_file_name = options.cert}), options);
    } else {
        serve(uWS::App(), options);
    }
}
