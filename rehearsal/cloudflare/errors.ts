/** One entry of the envelope's `errors`. */
export interface ErrorEntry {
  code: number;
  message: string;
  error_chain?: ErrorEntry[];
}

/** A refusal in Cloudflare's envelope. */
export class ApiError extends Error {
  readonly status: number;
  readonly errors: ErrorEntry[];
  readonly headers: Record<string, string>;

  constructor(status: number, errors: ErrorEntry[], headers: Record<string, string> = {}) {
    super(errors.map(({ code, message }) => `${message} (${code})`).join("; "));
    this.status = status;
    this.errors = errors;
    this.headers = headers;
  }
}

export function refuse(status: number, code: number, message: string): ApiError {
  return new ApiError(status, [{ code, message }]);
}

/** Access refuses whatever it does not understand by this one code. */
export function invalidAccessRequest(reason: string): ApiError {
  return refuse(400, 12130, `access.api.error.invalid_request: ${reason}`);
}

export function accessNotFound(what: string): ApiError {
  return refuse(404, 11021, `access.api.error.not_found: ${what}`);
}
