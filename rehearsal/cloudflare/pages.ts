/** The pages that Cloudflare itself shows. */

const escapes: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => escapes[letter]!);
}

export function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title></head>
<body>
${body}
</body>
</html>
`;
}

const signInTitle = "Sign in ・ Cloudflare Access";

export function emailPage(team: string, host: string, state: string): string {
  return page(
    signInTitle,
    `<h1>${escapeHtml(team)}</h1>
<p>Log in to ${escapeHtml(host)}</p>
<h2>Get a login code emailed to you</h2>
<form method="post" action="/cdn-cgi/access/onetimepin/login">
<input type="hidden" name="state" value="${escapeHtml(state)}">
<label>Email <input type="email" name="email" required></label>
<button type="submit">Send me a code</button>
</form>`,
  );
}

/** The same whether a mail was sent or not. */
export function codePage(email: string, state: string): string {
  return page(
    signInTitle,
    `<h1>A code has been emailed to you</h1>
<p>Please enter the code sent to ${escapeHtml(email)}.</p>
<form method="post" action="/cdn-cgi/access/onetimepin/callback">
<input type="hidden" name="state" value="${escapeHtml(state)}">
<label>Code <input type="text" name="code" inputmode="numeric" autocomplete="one-time-code" required></label>
<button type="submit">Sign in</button>
</form>`,
  );
}

export function noLoginMethodPage(): string {
  return page(signInTitle, "<h1>No login methods available.</h1>");
}

export function noAccessPage(): string {
  return page("Error ・ Cloudflare Access", "<h1>That account does not have access.</h1>");
}

export function accessErrorPage(text: string): string {
  return page("Error ・ Cloudflare Access", `<h1>${escapeHtml(text)}</h1>`);
}

export function forbiddenPage(): string {
  return page(
    "Forbidden ・ Cloudflare Access",
    "<h1>Forbidden</h1>\n<p>You don't have permission to view this. Please contact your system administrator.</p>",
  );
}

export function tooLargePage(): string {
  return "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n";
}

/** Cloudflare's own error pages, such as 530 with 1033. */
export function errorPage(
  status: number,
  code: number | undefined,
  text: string,
  host: string,
): string {
  return page(
    `${text} | ${host} | Cloudflare`,
    `<h1>Error ${code ?? status}</h1>\n<p>${escapeHtml(text)}</p>\n<p>${escapeHtml(host)}</p>`,
  );
}
