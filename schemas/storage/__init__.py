"""Storage: where a directory may lie beside this machine's disks, and what it takes to lie there.

    location.py      a URI: its parts, its file system, and refusals in one line
    marker.py        `manifest.json`, which makes a set of uploaded files a directory
    published.py     putting a finished directory at a URI
    fetched.py       a local copy of a directory at a URI
    leaving.py       where a job writes what is to be put at a URI
    windows.py       windows of a stream at a URI, put and brought pane by pane
    mirrored.py      a folder that several jobs add to, such as the analysis cache
    known_as.py      messages name a copy by its URI
    arguments.py     all this for the arguments of a command
    rows.py          input files, listed and opened where they lie
    tables.py        inputs that name a table instead of files
    between/         what processes of one job leave for one another

Nobody else opens, lists or names what is remote.
"""
