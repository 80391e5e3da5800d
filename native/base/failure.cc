#include "base/failure.h"

#include <new>
#include <system_error>

#include "base/error.h"

namespace kexa {

Failure failure_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Error& error) {
    return {error.code, error.what()};
  } catch (const std::bad_alloc&) {
    return {"KEXA_OUT_OF_MEMORY", "the system has no memory left for this request"};
  } catch (const std::system_error& error) {
    const bool is_full = error.code() == std::errc::resource_unavailable_try_again;
    return {is_full ? "KEXA_OUT_OF_MEMORY" : "KEXA_INTERNAL", error.what()};
  } catch (const std::exception& error) {
    return {"KEXA_INTERNAL", error.what()};
  } catch (...) {
    return {"KEXA_INTERNAL", "an exception of unknown type"};
  }
}

}  // namespace kexa
