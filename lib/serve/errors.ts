/** The errors that a client of the server is told. */
import { KexaError, type KexaErrorCode } from '../errors.js';

/** The facts of an {@link ApiError} beside its message. */
export interface ApiErrorFacts {
  status: number;
  /** The class of the error as OpenAI's API names it. */
  type: string;
  /** A word for programs. */
  code: string;
  /** The field of the request that is at fault. Null if none is. */
  param?: string | null;
  /** Seconds after which the client may try again. */
  retryAfter?: number;
  cause?: unknown;
}

/** An answer that refuses a request: its status, what the body says, and when to try again. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly type: string;
  readonly code: string;
  readonly param: string | null;
  readonly retryAfter: number | undefined;

  constructor(message: string, { status, type, code, param = null, retryAfter, cause }: ApiErrorFacts) {
    super(message, { cause });
    this.status = status;
    this.type = type;
    this.code = code;
    this.param = param;
    this.retryAfter = retryAfter;
  }

  /** The headers that clients read to learn whether and when to try again. */
  get headers(): Record<string, string> {
    if (this.retryAfter !== undefined)
      return { 'retry-after': String(Math.ceil(this.retryAfter)), 'retry-after-ms': String(this.retryAfter * 1000) };
    return this.status === 500 ? { 'x-should-retry': 'false' } : {};
  }
}

/** A 400 about one field of the request. */
export function badRequest(param: string | null, message: string, code = 'invalid_value'): ApiError {
  return new ApiError(param === null ? message : `${param}: ${message}`, {
    ...{ status: 400, type: 'invalid_request_error', code, param },
  });
}

/** A 400 about a field that asks for what this server does not do. */
export function unsupported(param: string, message: string): ApiError {
  return badRequest(param, message, 'unsupported');
}

/** A 404. */
export function notFound(message: string, code = 'not_found', param: string | null = null): ApiError {
  return new ApiError(message, { status: 404, type: 'invalid_request_error', code, param });
}

/** A 503: this server does not take the request now. */
export function unavailable(message: string, code: string, retryAfter = 1): ApiError {
  return new ApiError(message, { status: 503, type: 'server_error', code, retryAfter });
}

/** How the library's errors that a request may cause are told. All others are a fault of the server. */
const statuses: Partial<Record<KexaErrorCode, Omit<ApiErrorFacts, 'cause' | 'param'>>> = {
  KEXA_INVALID_ARGUMENT: { status: 400, type: 'invalid_request_error', code: 'invalid_value' },
  KEXA_UNSUPPORTED: { status: 400, type: 'invalid_request_error', code: 'unsupported' },
  KEXA_BAD_TEMPLATE: { status: 400, type: 'invalid_request_error', code: 'invalid_prompt' },
  KEXA_CONTEXT_FULL: { status: 400, type: 'invalid_request_error', code: 'context_length_exceeded' },
  KEXA_OUT_OF_MEMORY: { status: 503, type: 'server_error', code: 'out_of_memory', retryAfter: 1 },
  KEXA_DEVICE_LOST: { status: 503, type: 'server_error', code: 'device_lost', retryAfter: 5 },
  KEXA_CLOSED: { status: 503, type: 'server_error', code: 'shutting_down', retryAfter: 1 },
};

/** The fields of the API that the library's options have other names for. */
const fieldsOf: Readonly<Record<string, string>> = { repeatPenalty: 'repetition_penalty', prompt: 'messages' };

/** The reason of a signal that was aborted because the client has left, or does not read. */
export class ClientLeft extends Error {
  override readonly name = 'ClientLeft';
}

/** The error to answer with, whatever was thrown. `asked` has the fields by which a request set options of the library. */
export function toApiError(error: unknown, asked: Readonly<Record<string, string>> = {}): ApiError {
  if (error instanceof ApiError) return error;
  // Nobody reads this answer. Its status is for the log alone.
  if (error instanceof ClientLeft)
    return new ApiError(error.message, { status: 499, type: 'invalid_request_error', code: 'client_left' });
  const facts = error instanceof KexaError ? statuses[error.code] : undefined;
  // A fault of the server's own is told to its log, not to its clients.
  if (!(error instanceof KexaError) || facts === undefined)
    return new ApiError('the server has failed at this request; its log tells why', {
      ...{ status: 500, type: 'server_error', code: 'internal_error', cause: error },
    });
  // An error in a schema names the place after a slash: jsonSchema/properties/a.
  const [, start, name, rest] = /^((\w+)([\w.[\]]*(?:\/.*?)?)): /s.exec(error.message) ?? [];
  const field = name === undefined ? null : `${asked[name] ?? fieldsOf[name] ?? snakeCase(name)}${rest}`;
  const message = field === null ? error.message : `${field}${error.message.slice(start!.length)}`;
  const param = facts.status === 400 ? field : null;
  return new ApiError(message, { ...facts, param, cause: error });
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The body of an error as OpenAI's API has it. */
export function openAIError({ message, type, param, code }: ApiError): object {
  return { error: { message, type, param, code } };
}
