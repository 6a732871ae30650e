import json, os, subprocess, sys, tempfile
sent = json.JSONDecoder().raw_decode(sys.stdin.buffer.read().decode().lstrip())[0]
with tempfile.TemporaryDirectory() as folder:
    for name, source in sent["program"].items():
        open(os.path.join(folder, name), "w").write(source)
    sys.exit(subprocess.run([sys.executable, "-B", folder + "/apply", sent["bundle"]["subject"]],
                            input=json.dumps(sent["bundle"]).encode()).returncode)
