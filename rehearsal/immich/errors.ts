/** Errors in the shape that @immich/sdk 3.2.2 reads: `{message, error, statusCode, errors?}`. */
import type { ApiExceptionResponse, ApiValidationError } from "@immich/sdk";
import type { ZodError } from "zod";

const reasons: Record<number, string> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

export class ApiError extends Error {
  readonly status: number;
  readonly errors: ApiValidationError[] | undefined;

  constructor(status: number, message: string, errors?: ApiValidationError[]) {
    super(message);
    this.status = status;
    this.errors = errors;
  }

  body(correlationId: string): ApiExceptionResponse & { correlationId: string } {
    return {
      message: this.message,
      error: reasons[this.status] ?? "Error",
      statusCode: this.status,
      correlationId,
      ...(this.errors && { errors: this.errors }),
    };
  }
}

export const badRequest = (message: string) => new ApiError(400, message);
export const unauthorized = (message: string) => new ApiError(401, message);
export const forbidden = (message: string) => new ApiError(403, message);
export const notFound = (message: string) => new ApiError(404, message);

export function invalid(error: ZodError): ApiError {
  return new ApiError(
    400,
    "Validation failed",
    error.issues.map((issue) => ({
      code: issue.code,
      path: issue.path.map((key) => (typeof key === "symbol" ? String(key) : key)),
      message: issue.message,
    })),
  );
}
