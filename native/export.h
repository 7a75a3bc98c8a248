// What Python finds in the library by name; everything else is hidden.
#pragma once

#if defined(_WIN32)
#define EVENTAX_EXPORT extern "C" __declspec(dllexport)
#else
#define EVENTAX_EXPORT extern "C" __attribute__((visibility("default")))
#endif
