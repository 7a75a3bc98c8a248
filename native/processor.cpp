// Runs on processors that the rest of a library may not run on: so it is a file of its
// own, which is compiled without the library's instruction set.
#include "processor.h"

#include "export.h"

EVENTAX_EXPORT int eventax_native_processor() { return eventax::processor_level(); }
