#!/usr/bin/env python3
"""The mount as users meet it: real clients on a real mount, with the real engine and the embedded model.

usage: mount_test.py FSDFS [NAME-PART]
Each function test_* gets a fresh store and mount. Exits 77 where FUSE cannot be used. What happens and in which order is
checked, never how long it takes; waiting is for events, with an end only so that a fault does not hang the suite.
"""
import contextlib
import errno
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

FSDFS = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""
LONG = 300  # seconds until a wait is a fault
SLOW = "--steps 900"  # a picture that takes long enough to be interrupted


class Mount:
    def __init__(self, store=None, options=()):
        self.top = tempfile.mkdtemp(prefix="fsdfs-mount-")
        self.path = self.top + "/m"
        self.store = store or self.top + "/store"
        os.mkdir(self.path)
        self.daemon = None
        self.start(options)

    def start(self, options=()):
        self.daemon = subprocess.Popen([FSDFS, "-f", *options, self.store, self.path], stderr=subprocess.PIPE)
        wait_for(lambda: self.daemon.poll() is not None or self.engine_is_up())
        assert self.daemon.poll() is None, self.daemon.stderr.read()

    def engine_is_up(self):
        try:
            return "engine=up" in self.read(".fsdfs/status")
        except OSError:  # not mounted yet, or still the mount of a daemon that died
            return False

    def __call__(self, *parts):
        return os.path.join(self.path, *parts)

    def out(self, name=""):
        return self("models/tiny-emoji/out", name)

    def read(self, name):
        with open(self(name), "rb") as file:
            return file.read().decode()

    def events(self, word):
        return [line for line in self.read(".fsdfs/progress").splitlines() if line.split(" ")[0] == word]

    def engine(self):
        out = subprocess.run(["pgrep", "-P", str(self.daemon.pid)], capture_output=True, text=True).stdout.split()
        return [int(pid) for pid in out]

    def stop(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(LONG)
        if self.daemon:
            self.daemon.stderr.close()

    def close(self):
        self.stop()
        subprocess.run(["fusermount3", "-uzq", self.path], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.top, ignore_errors=True)


def wait_for(condition):
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def raises(number):
    try:
        yield
    except OSError as error:
        assert error.errno == number, f"{error}: not {errno.errorcode[number]}"
        return
    assert False, f"no {errno.errorcode[number]}"


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True)
    assert not check or done.returncode == 0, (command, done.stderr)
    return done


def pixels(png):
    """All behind the text, in which a model's hash appears once it is known."""
    return png.split(b"IDAT", 1)[1]


def reading(path):
    """A cat of its own process."""
    return subprocess.Popen(["cat", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


# --- pictures -----------------------------------------------------------------------------------------------------------

def test_a_picture_has_its_size_before_it_is_made_and_is_listed_after(m):
    name = m.out("red apple --seed 1.png")
    before = os.stat(name)
    assert os.listdir(m.out()) == []
    with open(name, "rb") as file:
        data = file.read()
    after = os.stat(name)
    assert before.st_size == len(data) == after.st_size
    assert before.st_mtime_ns == after.st_mtime_ns and before.st_ino == after.st_ino
    assert before.st_blocks > 0
    assert os.listdir(m.out()) == ["red apple --seed 1.png"]
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and b"Seed: 1, Size: 128x128, " in data
    with open(name, "rb") as file:
        assert file.read() == data
    assert len(m.events("started")) == 1


def test_the_same_seed_is_the_same_picture_after_rm(m):
    name = m.out("blue bird --seed 5.png")
    first = open(name, "rb").read()
    number = os.stat(name).st_ino
    os.unlink(name)
    assert os.listdir(m.out()) == [] and os.stat(name).st_ino != number
    assert pixels(open(name, "rb").read()) == pixels(first)


def test_programs_read_it_whole(m):
    from PIL import Image
    name = m.out("green frog.png")
    run("cp", name, m.top + "/a.png")
    run("pngcheck", "-q", m.top + "/a.png")
    with Image.open(name) as image:
        image.load()
        assert image.size == (128, 128) and image.mode == "RGB"
        assert image.text["parameters"].startswith("green frog\n")
        colours = len(image.getcolors(1 << 24))
    assert colours > 100
    assert b"128x128" in run("identify", name).stdout
    run("gdk-pixbuf-thumbnailer", "-s", "64", name, m.top + "/thumb.png")
    run("rsync", "-a", m.out(), m.top + "/copy/")
    run("rclone", "copyto", m.out("yellow star.png"), m.top + "/b.png")
    run("tar", "-C", m("models/tiny-emoji"), "-cf", m.top + "/a.tar", "out")
    assert open(m.top + "/copy/green frog.png", "rb").read() == open(m.top + "/a.png", "rb").read()
    assert os.path.getsize(m.top + "/b.png") == os.path.getsize(name)


def test_text_beyond_latin_1_keeps_the_size(m):
    a, b = m.out("a --no ☃ snow.png"), m.out("a --no snow.png")
    assert os.stat(a).st_size == os.stat(b).st_size
    assert "☃ snow".encode() in open(a, "rb").read() and len(open(b, "rb").read()) == os.stat(b).st_size


def test_sizes_and_options(m):
    from PIL import Image
    with Image.open(m.out("red car --size 96x160 --steps 3 --sampler Euler a --cfg 3.png")) as image:
        assert image.size == (96, 160)
        text = image.text["parameters"]
    assert "Steps: 3, Sampler: Euler a" in text and "CFG scale: 3," in text and "Model: tiny-emoji" in text


# --- looking makes nothing ----------------------------------------------------------------------------------------------

def test_looking_makes_nothing(m):
    open(m.out("red apple.png"), "rb").close()
    made = len(m.events("started"))
    for command in (["find", m.path], ["ls", "-laR", m.path], ["du", "-a", m.path], ["rsync", "-an", m.path + "/", m.top + "/x/"],
                    ["tar", "-C", m.path, "-cf", m.top + "/x.tar", "."], ["grep", "-r", "nothing", m.path],
                    ["rclone", "copy", m.path, m.top + "/r"]):
        run(*command, check=command[0] != "grep")
    for name in (".directory", ".hidden", ".Trash-0", "folder.jpg", "desktop.ini", "cover.png", "Folder.png", "x.png.part",
                 ".x.png.AbCdEf", "x.png~", "Thumbs.db", ".sh_thumbnails", "autorun.inf", "x.jpg.png"):
        assert not os.path.exists(m.out(name)), name
        with raises(errno.ENOENT):
            open(m.out(name), "rb")
    os.stat(m.out("not made.png"))
    os.access(m.out("not made.png"), os.R_OK)
    assert len(m.events("started")) == made and os.listdir(m.out()) == ["red apple.png"]


def test_hidden_names_are_never_listed(m):
    assert sorted(os.listdir(m.path)) == ["README.txt", "generate.ini", "models", "sessions", "status.txt"]
    assert sorted(os.listdir(m("models/tiny-emoji"))) == ["generate.ini", "info.txt", "model.ini", "out", "words.txt"]
    for name in (".fsdfs/status", ".fsdfs/version", ".fsdfs/queue", "log.txt"):
        assert m.read(name), name


# --- waiting ------------------------------------------------------------------------------------------------------------

def test_thirty_readers_make_one_picture(m):
    name = m.out("cactus --seed 3.png")
    readers = [reading(name) for _ in range(30)]
    results = {r.communicate(timeout=LONG)[0] for r in readers}
    assert len(results) == 1 and len(results.pop()) == os.stat(name).st_size
    assert len(m.events("started")) == len(m.events("done")) == 1


def test_ls_and_status_answer_while_forty_readers_wait(m):
    readers = [reading(m.out(f"rocket {i} {SLOW}.png")) for i in range(40)]
    wait_for(lambda: "waiting=39" in m.read(".fsdfs/status"))
    assert os.listdir(m.out()) == []
    assert "39 more wait" in m.read("status.txt")
    with open(m("README.txt"), "rb") as file:
        assert file.read()
    assert all(r.poll() is None for r in readers)  # they still waited while all that was answered
    for r in readers:
        r.send_signal(signal.SIGINT)
    for r in readers:
        r.communicate(timeout=LONG)
    wait_for(lambda: "running=\n" in m.read(".fsdfs/status") and "waiting=0" in m.read(".fsdfs/status"))
    assert os.listdir(m.out()) == []


def test_ctrl_c_cancels_and_a_harmless_signal_does_not(m):
    name = m.out(f"lion {SLOW}.png")
    reader = reading(name)
    wait_for(lambda: m.events("progress"))
    reader.send_signal(signal.SIGINT)
    reader.communicate(timeout=LONG)
    wait_for(lambda: m.events("failed"))
    last = m.events("progress")[-1]
    assert os.listdir(m.out()) == [] and "900/900" not in last
    code = ("import os, signal, sys\nsignal.signal(signal.SIGUSR1, lambda *a: None)\n"
            "signal.siginterrupt(signal.SIGUSR1, False)\nsys.stdout.write('go\\n'); sys.stdout.flush()\n"
            "fd = os.open(sys.argv[1], os.O_RDONLY)\nprint(len(os.read(fd, 1 << 24)))")
    child = subprocess.Popen([sys.executable, "-c", code, m.out("tree --steps 200.png")], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "go\n"
    wait_for(lambda: any("tree" in line for line in m.events("progress")))
    child.send_signal(signal.SIGUSR1)
    assert int(child.communicate(timeout=LONG)[0]) == os.stat(m.out("tree --steps 200.png")).st_size


def test_a_killed_reader_goes_at_once_and_its_picture_too(m):
    reader = reading(m.out(f"horse {SLOW}.png"))
    wait_for(lambda: m.events("progress"))
    reader.kill()
    reader.communicate(timeout=LONG)
    wait_for(lambda: m.events("failed"))
    assert os.listdir(m.out()) == []


def test_control_cancels(m):
    reader = reading(m.out(f"tiger {SLOW}.png"))
    wait_for(lambda: m.events("progress"))
    with open(m(".fsdfs/control"), "w") as file:
        file.write("cancel\n")
    reader.communicate(timeout=LONG)
    assert reader.returncode != 0
    with raises(errno.EINVAL):
        os.write(os.open(m(".fsdfs/control"), os.O_WRONLY), b"frobnicate\n")
    assert "frobnicate" in m.read("PROBLEM.txt")


def test_a_killed_engine_is_an_error_for_its_reader_alone(m):
    reader = reading(m.out(f"panda {SLOW}.png"))
    waiting = reading(m.out("red apple.png"))
    wait_for(lambda: m.events("progress") and "waiting=1" in m.read(".fsdfs/status"))
    for pid in m.engine():
        os.kill(pid, signal.SIGKILL)
    assert b"Input/output error" in reader.communicate(timeout=LONG)[1]
    assert len(waiting.communicate(timeout=LONG)[0]) == os.stat(m.out("red apple.png")).st_size
    assert os.listdir(m.out()) == ["red apple.png"]
    assert "panda" in m.read("PROBLEM.txt") and "signal 9" in m.read("PROBLEM.txt")
    os.unlink(m.out(f"panda {SLOW}.png"))
    assert not os.path.exists(m("PROBLEM.txt"))


def test_a_preview_appears_while_a_slow_picture_is_made(m):
    from PIL import Image
    reader = reading(m.out(f"castle {SLOW}.png"))
    wait_for(lambda: os.path.exists(m(".fsdfs/preview.png")))
    with Image.open(m(".fsdfs/preview.png")) as image:
        image.load()
        assert image.size == (128, 128)
    reader.kill()
    reader.communicate(timeout=LONG)


# --- wrong requests -----------------------------------------------------------------------------------------------------

def test_what_cannot_be_done_is_einval_with_a_sentence(m):
    for name, says in (("x --stepz 3.png", '"stepz", perhaps "steps"'), ("x --steps 0.png", "1 to 1000"),
                       ("x --size 100x100.png", "multiples of 8"), ("x --size 9999.png", "64 to 2048"), ("x --lora y 1.png", "not there yet"),
                       ("x --model nobody.png", 'no model "nobody"'), ("x --sampler plms.png", "ddim, euler, euler_a or dpmpp_2m"),
                       ("x --sampler ddim --schedule karras.png", "no karras")):
        os.stat(m.out(name))
        with raises(errno.EINVAL):
            open(m.out(name), "rb")
        assert says in m.read("PROBLEM.txt"), (name, m.read("PROBLEM.txt"))
        assert says in m.read("models/tiny-emoji/PROBLEM.txt")
        with open(m.out(name[:-4] + ".txt")) as file:
            assert says in file.read(), name
        os.unlink(m.out(name))
    assert not os.path.exists(m("PROBLEM.txt")) and not os.path.exists(m("models/tiny-emoji/PROBLEM.txt"))
    assert os.listdir(m.out()) == []


def test_a_name_of_256_bytes_is_too_long(m):
    with raises(errno.ENAMETOOLONG):
        os.stat(m.out("a" * 252 + ".png"))
    os.stat(m.out("a" * 251 + ".png"))


def test_the_twin_tells_what_will_be_and_what_was(m):
    twin = m.out("red apple --steps 7.txt")
    text = open(twin).read()
    assert "steps = 7" in text and "prompt = red apple" in text and "cfg = 4" in text and "ddim stands in" in text
    open(m.out("red apple --steps 7.png"), "rb").close()
    assert "Steps: 7, Sampler: DDIM" in open(twin).read()
    assert "does not know: zebu, quark" in open(m.out("zebu quark apple.txt")).read()
    open(m.out("zebu apple --steps 1.png"), "rb").close()
    assert "tiny-emoji does not know: zebu" in m.read("status.txt")


# --- settings -----------------------------------------------------------------------------------------------------------

def test_generate_ini_holds_below_its_folder(m):
    assert "# steps = 20" in m.read("models/tiny-emoji/generate.ini")
    assert "# cfg = 4" in m.read("models/tiny-emoji/generate.ini")
    os.mkdir(m.out("big"))
    size = os.stat(m.out("big/apple.png")).st_size
    with open(m.out("big/generate.ini"), "w") as file:
        file.write("size = 160x96\nsteps = 2\n")
    assert os.stat(m.out("big/apple.png")).st_size != size
    assert os.stat(m.out("apple.png")).st_size == size
    assert "steps = 2" in open(m.out("big/apple.txt")).read()
    with open(m("generate.ini"), "w") as file:
        file.write("steps = 3\nnegative = a; b # c\n")
    text = open(m.out("apple.txt")).read()
    assert "steps = 3" in text and "negative = a; b # c" in text
    assert "steps = 2" in open(m.out("big/apple.txt")).read()
    assert "steps = 5" in open(m.out("big/apple --steps 5.txt")).read()
    os.unlink(m("generate.ini"))
    assert "steps = 20" in open(m.out("apple.txt")).read() and "# steps" in m.read("generate.ini")


def test_a_bad_generate_ini_is_told_with_its_line(m):
    with open(m("models/tiny-emoji/generate.ini"), "w") as file:
        file.write("steps = 3\nstepz = 4\n")
    assert "line 2" in m.read("PROBLEM.txt") and "stepz" in m.read("models/tiny-emoji/PROBLEM.txt")
    with raises(errno.EINVAL):
        open(m.out("red apple.png"), "rb")
    with open(m("models/tiny-emoji/generate.ini"), "w") as file:
        file.write("steps = 3\n")
    os.unlink(m.out("red apple.png"))
    assert not os.path.exists(m("PROBLEM.txt"))
    open(m.out("red apple.png"), "rb").close()


def test_editors_and_sed_can_change_an_ini(m):
    run("sed", "-i", "s/# steps = 20/steps = 6/", m("models/tiny-emoji/generate.ini"))
    assert "steps = 6" in open(m.out("x.txt")).read()
    with open(m("models/tiny-emoji/.goutputstream-X"), "w") as file:
        file.write("steps = 8\n")
        file.flush()
        os.rename(m("models/tiny-emoji/.goutputstream-X"), m("models/tiny-emoji/generate.ini"))
    assert "steps = 8" in open(m.out("x.txt")).read()
    assert m.read("models/tiny-emoji/generate.ini") == "steps = 8\n"


# --- sessions -----------------------------------------------------------------------------------------------------------

def test_sessions_begin_move_and_end(m):
    os.mkdir(m("sessions/rex"))
    assert sorted(os.listdir(m("sessions/rex"))) == ["README.txt", "generate.ini", "out", "status.txt"]
    open(m("sessions/rex/out/red apple.png"), "rb").close()
    os.rename(m("sessions/rex"), m("sessions/max"))
    assert os.listdir(m("sessions")) == ["max"] and os.listdir(m("sessions/max/out")) == ["red apple.png"]
    assert "Model: tiny-emoji" in open(m("sessions/max/out/red apple.txt")).read()
    with raises(errno.EEXIST):
        os.mkdir(m("sessions/max"))
    reader = reading(m(f"sessions/max/out/tree {SLOW}.png"))
    wait_for(lambda: any("tree" in line for line in m.events("progress")))
    run("rm", "-r", m("sessions/max/out"), m("sessions/max/generate.ini"), check=False)
    for name in os.listdir(m("sessions/max/out")):
        os.unlink(m("sessions/max/out", name))
    os.rmdir(m("sessions/max"))
    reader.communicate(timeout=LONG)
    assert reader.returncode != 0 and os.listdir(m("sessions")) == []
    assert not os.path.exists(m.store + "/sessions/max")
    with raises(errno.EPERM):
        os.mkdir(m(".Trash-0"))


def test_a_made_picture_moves_with_its_settings(m):
    open(m.out("red apple --steps 4.png"), "rb").close()
    data = open(m.out("red apple --steps 4.png"), "rb").read()
    os.rename(m.out("red apple --steps 4.png"), m.out("my apple.png"))
    assert os.listdir(m.out()) == ["my apple.png"] and open(m.out("my apple.png"), "rb").read() == data
    assert "Steps: 4," in open(m.out("my apple.txt")).read()
    assert os.listdir(m.out(".made")) == ["my apple.png"]
    with raises(errno.EACCES):
        open(m.out("foreign.png"), "wb")


# --- models -------------------------------------------------------------------------------------------------------------

def model_folder():
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../packaging/models/tiny-emoji")


def test_folders_of_models_elsewhere_are_used_in_place(m):
    m.stop()
    shutil.copytree(model_folder(), m.top + "/elsewhere/mine", ignore=shutil.ignore_patterns("train", "model.ini", "words.txt"))
    with open(m.store + "/fsdfs.ini", "w") as file:
        file.write(f"models = {m.top}/elsewhere\n")
    m.start()
    assert sorted(os.listdir(m("models"))) == ["mine", "tiny-emoji"]
    assert "read-only" in m.read("models/mine/info.txt")
    open(m("models/mine/out/red apple.png"), "rb").close()
    assert "Model: mine" in open(m("models/mine/out/red apple.txt")).read()
    open(m.out("red apple --model mine.png"), "rb").close()
    assert not os.path.exists(m.top + "/elsewhere/mine/out")


def test_a_model_that_is_not_whole_says_so(m):
    for name, spoil, number, says in (
            ("missing", lambda p: os.unlink(p), errno.ENODATA, "is not there"),
            ("cut", lambda p: os.truncate(p, os.path.getsize(p) // 2), errno.EBADMSG, "cut short")):
        folder = m.store + "/models/" + name
        shutil.copytree(model_folder(), folder, ignore=shutil.ignore_patterns("train"))
        spoil(folder + "/vae/diffusion_pytorch_model.safetensors")
        wait_for(lambda: os.path.exists(m("models", name, "PROBLEM.txt")))
        assert says in m.read(f"models/{name}/PROBLEM.txt") and "vae/" in m.read(f"models/{name}/info.txt")
        with raises(number):
            open(m("models", name, "out/red apple.png"), "rb")
    open(m.out("red apple.png"), "rb").close()


# --- life ---------------------------------------------------------------------------------------------------------------

def test_pictures_and_their_times_survive_a_remount(m):
    name = m.out("red apple --seed 2.png")
    data, before = open(name, "rb").read(), os.stat(name)
    m.stop()
    m.start()
    after = os.stat(name)
    assert os.listdir(m.out()) == ["red apple --seed 2.png"]
    assert after.st_size == before.st_size and after.st_mtime_ns == before.st_mtime_ns
    assert open(name, "rb").read() == data and not m.events("started")


def test_sigterm_answers_readers_and_leaves_no_mount(m):
    readers = [reading(m.out(f"tree {i} {SLOW}.png")) for i in range(3)]
    wait_for(lambda: "waiting=2" in m.read(".fsdfs/status"))
    m.daemon.send_signal(signal.SIGTERM)
    assert m.daemon.wait(LONG) == 0
    for r in readers:
        r.communicate(timeout=LONG)
        assert r.returncode != 0
    assert not os.path.ismount(m.path)


def test_a_stale_mount_is_cleared_at_the_next_start(m):
    m.daemon.kill()
    m.daemon.wait(LONG)
    m.start()
    assert "README.txt" in os.listdir(m.path)


def test_one_mount_a_store(m):
    os.mkdir(m.top + "/second")
    second = run(FSDFS, "-f", m.store, m.top + "/second", check=False)
    assert second.returncode != 0 and b"pid %d" % m.daemon.pid in second.stderr


def test_a_newer_store_is_refused_untouched(m):
    m.stop()
    with open(m.store + "/.fsdfs/version", "w") as file:
        file.write("written by 9 (fsdfs 9.0), readable by 8\n")
    before = sorted((f, os.stat(f).st_mtime_ns) for f in glob.glob(m.store + "/**", recursive=True))
    refused = run(FSDFS, "-f", m.store, m.path, check=False)
    assert refused.returncode != 0 and b"newer" in refused.stderr
    assert before == sorted((f, os.stat(f).st_mtime_ns) for f in glob.glob(m.store + "/**", recursive=True))


def test_a_full_store_is_enospc_before_any_work(m):
    if os.geteuid() != 0:
        return
    m.stop()
    small = m.top + "/small"
    os.mkdir(small)
    if run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small, check=False).returncode:
        return
    try:
        m.store = small + "/store"
        m.start()
        with open(small + "/filler", "wb") as file:
            with contextlib.suppress(OSError):
                for _ in range(64):
                    file.write(b"x" * 65536)
                    file.flush()
        with raises(errno.ENOSPC):
            open(m.out("red apple.png"), "rb")
        assert "bytes are needed" in m.read("PROBLEM.txt") and not m.events("started")
        os.unlink(small + "/filler")
        wait_for(lambda: can_read(m.out("red apple.png")))
    finally:
        m.stop()
        run("umount", small, check=False)


def can_read(path):
    try:
        return len(open(path, "rb").read()) > 0
    except OSError:
        time.sleep(0.5)
        return False


def test_watchers_see_a_picture_appear(m):
    if not shutil.which("inotifywait"):
        return
    watcher = subprocess.Popen(["inotifywait", "-m", "-q", "-e", "create", "-e", "close_write", m.out()], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(iter(watcher.stdout.readline, "")), daemon=True)
    thread.start()
    open(m.out("red apple.png"), "rb").close()
    wait_for(lambda: any("CLOSE_WRITE" in line for line in seen))
    watcher.kill()
    thread.join(10)
    watcher.stdout.close()
    watcher.wait()
    lines = [line.strip() for line in seen if "red apple.png" in line]
    assert "CREATE" in lines[0] and "CLOSE_WRITE" in lines[1] and len(lines) == 2, lines


def test_everything_is_a_file(m):
    for call in (lambda: os.symlink("x", m.out("l")), lambda: os.mkfifo(m.out("p")), lambda: os.link(m("README.txt"), m.out("h"))):
        try:
            call()
            assert False
        except OSError as error:
            assert error.errno in (errno.EPERM, errno.ENOSYS, errno.EACCES), error
    with raises(errno.EACCES):
        open(m("README.txt"), "w")
    with raises(errno.EPERM):
        os.unlink(m("status.txt"))


def main():
    if not os.path.exists("/dev/fuse") or not shutil.which("fusermount3"):
        print("FUSE cannot be used here")
        return 77
    passed = failed = 0
    for name, function in list(globals().items()):
        if not name.startswith("test_") or (len(sys.argv) > 2 and sys.argv[2] not in name):
            continue
        mount = None
        try:
            mount = Mount()
            function(mount)
            passed += 1
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            import traceback
            traceback.print_exc()
            print(f"FAILED {name}: {error}")
        finally:
            if mount:
                mount.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
