/** Errors as Anthropic's API writes them. */
import type { ApiError } from '../errors.js';

const types: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
};

/** The body of an error. */
export function anthropicError({ status, message }: ApiError): object {
  return { type: 'error', error: { type: types[status] ?? 'api_error', message } };
}
