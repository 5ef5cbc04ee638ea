"""Drum patterns in sixteenths, and how chords and basses are played in a bar."""

# X accent, x plain, o ghost. Keyed by groove, then metre; every groove has its three-four form.
GROOVES = {
    "rock": {
        4: {"kick": "X.......x.x.....", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
        3: {"kick": "X.......x...", "snare": "....X...x...", "hat": "x.x.x.x.x.x."},
    },
    "pop": {
        4: {"kick": "X.....x.X.......", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.xo"},
        3: {"kick": "X...........", "snare": "....x...x...", "hat": "x.x.x.x.x.x."},
    },
    "ballad": {
        4: {"kick": "x.........x.....", "rim": "........x.......", "hat": "x.o.x.o.x.o.x.o."},
        3: {"kick": "x...........", "rim": "........x...", "hat": "x.o.x.o.x.o."},
    },
    "techno": {
        4: {"kick": "X...X...X...X...", "clap": "....x.......x...", "open": "..x...x...x...x.",
            "hat": "xooxxooxxooxxoox"},
        3: {"kick": "X...X...X...", "clap": "....x.......", "open": "..x...x...x.", "hat": "xooxxooxxoox"},
    },
    "house": {
        4: {"kick": "X...X...X...X...", "clap": "....X.......X...", "open": "..x...x...x...x.",
            "shaker": "xoxoxoxoxoxoxoxo"},
        3: {"kick": "X...X...X...", "clap": "....X.......", "open": "..x...x...x."},
    },
    "hip hop": {
        4: {"kick": "X......x..x.....", "snare": "....X.......X...", "hat": "x.x.x.xox.x.x.x."},
        3: {"kick": "X......x....", "snare": "....X.......", "hat": "x.x.x.x.x.x."},
    },
    "trap": {
        4: {"kick": "X.....x...x.....", "clap": "........X.......", "hat": "x.x.x.x.x.xxx.x."},
        3: {"kick": "X.....x.....", "clap": "......X.....", "hat": "x.x.x.x.xxx."},
    },
    "funk": {
        4: {"kick": "X..x..x...x.....", "snare": "....X..o.o..X..o", "hat": "xoxoxoxoxoxoxoxo"},
        3: {"kick": "X..x........", "snare": "....X..o.o..", "hat": "xoxoxoxoxoxo"},
    },
    "bossa": {
        4: {"kick": "x.....x.x.....x.", "rim": "x..x..x...x..x..", "shaker": "xoxoxoxoxoxoxoxo"},
        3: {"kick": "x.....x.....", "rim": "x..x..x.....", "shaker": "xoxoxoxoxoxo"},
    },
    "jazz": {
        4: {"ride": "x...X.x.x...X.x.", "hat": "....x.......x...", "kick": "o...o...o...o...",
            "snare": "......o.......o."},
        3: {"ride": "x...X.x.x.x.", "hat": "....x...x...", "kick": "x..........."},
    },
    "waltz": {3: {"kick": "x...........", "snare": "....x...o...", "ride": "x...x...x..."},
              4: {"kick": "x.......x.......", "snare": "....x.......x...", "ride": "x...x...x...x..."}},
    "march": {
        4: {"kick": "X.......X.......", "tom": "....x.x.....x.xx", "crash": "o..............."},
        3: {"kick": "X...........", "tom": "....x...x.x.", "crash": "o..........."},
    },
    "one drop": {
        4: {"kick": "........X.......", "rim": "........X.......", "hat": "x.x.x.x.x.x.x.x."},
        3: {"kick": "........X...", "rim": "........X...", "hat": "x.x.x.x.x.x."},
    },
    "folk": {
        4: {"kick": "x.......x.......", "rim": "....x.......x...", "shaker": "x.xox.xox.xox.xo"},
        3: {"kick": "x...........", "rim": "....x...x...", "shaker": "x.x.x.x.x.x."},
    },
    "tropical": {
        4: {"kick": "X..x..x.X..x..x.", "rim": "...x..x....x..x.", "conga": "..o.x.x...o.x.x.",
            "shaker": "xoxoxoxoxoxoxoxo"},
        3: {"kick": "X..x..x.....", "conga": "..o.x.x.....", "shaker": "xoxoxoxoxoxo"},
    },
    "synthwave": {
        4: {"kick": "X...x...X...x...", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
        3: {"kick": "X...x...x...", "snare": "........X...", "hat": "x.x.x.x.x.x."},
    },
    "sparse": {
        4: {"kick": "x...............", "shaker": "x...o...x...o...", "rim": "............o..."},
        3: {"kick": "x...........", "shaker": "x...o...o..."},
    },
}  # fmt: skip
FILL = "x.xxx.xx"  # on the toms, over the last two beats of every eighth bar
STRENGTHS = {"X": 1.0, "x": 0.75, "o": 0.4}

# How chords are struck: (beat of the bar, beats held). Arpeggios are in BROKEN instead.
COMPS = {
    "pulse": tuple((beat, 0.9) for beat in range(4)),
    "eighths": tuple((half / 2, 0.42) for half in range(8)),
    "stabs": ((0.5, 0.3), (1.5, 0.3), (2.5, 0.3), (3.5, 0.3)),
    "skank": ((0.5, 0.2), (1.5, 0.2), (2.5, 0.2), (3.5, 0.2)),
    "charleston": ((0, 1.2), (1.5, 1.2), (3, 0.8)),
    "strum": ((0, 0.9), (1, 0.45), (1.5, 0.45), (2, 0.9), (3, 0.45), (3.5, 0.45)),
    "waltz": ((1, 0.7), (2, 0.7)),
    "bossa": ((0, 0.8), (1, 0.4), (1.5, 0.9), (2.5, 0.4), (3, 0.8)),
}
# Arpeggios: which voice of the chord sounds (from the lowest), and the step in beats.
BROKEN = {
    "arpeggio": ((0, 1, 2, 3, 2, 1), 0.5),
    "fast arpeggio": ((0, 1, 2, 3), 0.25),
    "alberti": ((0, 2, 1, 2), 0.5),
    "broken": ((0, 2, 1, 3), 1.0),
}
# Basses: (beat, beats, tone): 0 root, 1 third, 2 fifth, 3 the root an octave up, 4 a step towards the next root.
BASS_LINES = {
    "held": ((0, 4, 0),),
    "downbeat": ((0, 1, 0),),
    "fifths": ((0, 0.9, 0), (2, 0.9, 2)),
    "eighths": tuple((half / 2, 0.45, 0) for half in range(8)),
    "sixteenths": tuple((q / 4, 0.2, 3 if q % 4 == 2 else 0) for q in range(16) if q % 4),
    "octaves": tuple((half / 2, 0.4, 3 * (half % 2)) for half in range(8)),
    "offbeat": ((0.5, 0.4, 0), (1.5, 0.4, 0), (2.5, 0.4, 0), (3.5, 0.4, 3)),
    "syncopated": ((0, 1.4, 0), (1.5, 0.5, 0), (2, 0.9, 0), (3.5, 0.45, 2)),
    "bossa": ((0, 1.4, 0), (1.5, 0.5, 2), (2, 1.4, 2), (3.5, 0.5, 0)),
    "walking": ((0, 0.95, 0), (1, 0.95, 1), (2, 0.95, 2), (3, 0.95, 4)),
    "funk": ((0, 0.4, 0), (0.75, 0.2, 0), (1.5, 0.4, 3), (2.25, 0.2, 0), (2.5, 0.4, 2), (3.5, 0.4, 0)),
}
