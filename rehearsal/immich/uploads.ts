/** `POST /assets`: a multipart body that is never held in memory. */
import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import busboy from "busboy";
import { badRequest } from "./errors.ts";
import { mimeTypeOf } from "./rows.ts";
import { type StoredUpload, storeUpload } from "./storage.ts";

export interface Upload {
  fields: Record<string, string>;
  file: StoredUpload & { fileName: string };
}

export async function receiveUpload(
  request: IncomingMessage,
  dataDir: string,
  userId: string,
): Promise<Upload> {
  const type = request.headers["content-type"] ?? "";
  if (!type.startsWith("multipart/form-data")) throw badRequest("Expected multipart/form-data");
  const fields: Record<string, string> = {};
  const stored: { fileName: string; upload: Promise<StoredUpload> }[] = [];
  let refused: Error | undefined;

  const parser = busboy({ headers: request.headers, defParamCharset: "utf8" });
  parser.on("field", (name, value) => {
    fields[name] = value;
  });
  parser.on("file", (name, content, info) => {
    const fileName = fields.filename || info.filename || "";
    if (name !== "assetData" || !mimeTypeOf(fileName)) {
      // A sidecar is taken and dropped: nothing that the kit does reads one.
      if (name === "assetData") refused ??= badRequest(`Unsupported file type ${fileName}`);
      else if (name !== "sidecarData") refused ??= badRequest(`Unexpected field ${name}`);
      content.resume();
      return;
    }
    const upload = storeUpload(dataDir, userId, { uuid: randomUUID(), fileName }, content);
    upload.catch(() => undefined); // reported below, when the whole body was read
    stored.push({ fileName, upload });
  });

  await new Promise<void>((resolve, reject) => {
    parser.on("close", resolve);
    parser.on("error", reject);
    // A phone that walks out of the Wi-Fi: what was stored so far is removed by storeUpload.
    request.on("aborted", () => {
      parser.destroy(new Error("The upload was cut off"));
      reject(badRequest("The upload was cut off"));
    });
    request.pipe(parser);
  });

  const files = await Promise.all(stored.map((part) => part.upload));
  if (!refused && files.length !== 1) refused = badRequest("assetData is required");
  if (refused) {
    await Promise.all(files.map((file) => rm(file.path, { force: true })));
    throw refused;
  }
  return { fields, file: { ...files[0]!, fileName: fields.filename || stored[0]!.fileName } };
}
