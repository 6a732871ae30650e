/** A web page to sign in on and to see one's photos: enough for a browser, not Immich's own. */

export const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Immich (pretend)</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }
  label { display: block; margin: .5rem 0; }
  img { height: 8rem; margin: .25rem; }
  [hidden] { display: none; }
</style>
<h1>Immich <small>(pretend server for rehearsals)</small></h1>
<form id="login" hidden>
  <label>Email <input name="email" type="email" autocomplete="username" required></label>
  <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
  <button type="submit">Login</button>
  <p id="problem" role="alert"></p>
</form>
<main id="photos" hidden>
  <p id="who"></p>
  <button id="logout" type="button">Sign out</button>
  <ul id="list"></ul>
</main>
<script>
  const $ = (id) => document.getElementById(id);
  const call = async (method, path, body) => {
    const response = await fetch("/api" + path, {
      method,
      headers: body ? { "content-type": "application/json" } : {},
      body: body && JSON.stringify(body),
    });
    const data = response.status === 204 ? undefined : await response.json();
    if (!response.ok) throw new Error(data.message);
    return data;
  };
  const show = async () => {
    let me;
    try { me = await call("GET", "/users/me"); } catch { $("login").hidden = false; $("photos").hidden = true; return; }
    $("login").hidden = true;
    $("photos").hidden = false;
    $("who").textContent = "Signed in as " + me.name + " (" + me.email + ")";
    const { assets } = await call("POST", "/search/metadata", {});
    $("list").replaceChildren(...assets.items.map((asset) => {
      const item = document.createElement("li");
      const image = document.createElement("img");
      image.src = "/api/assets/" + asset.id + "/thumbnail";
      image.alt = "";
      item.append(image, asset.originalFileName + " · " + asset.localDateTime.slice(0, 10));
      return item;
    }));
  };
  $("login").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await call("POST", "/auth/login", Object.fromEntries(new FormData(event.target)));
      $("problem").textContent = "";
      await show();
    } catch (error) { $("problem").textContent = error.message; }
  });
  $("logout").addEventListener("click", async () => { await call("POST", "/auth/logout"); await show(); });
  show();
</script>
</html>
`;
