/*
 * The stamp protocol of querycache/stamps.py, with writers, readers, a database and a store that
 * forgets. docs/explanation/model.md says what stands for what; run.py runs it.
 *
 * Sizes (-DNAME=number):
 *   W, R, D    writers (1 to 3), readers (1 to 3), dependencies (1 or 2)
 *   TX         transactions of each writer; without it: any number
 * Kinds of store and of use (-DNAME):
 *   DURABLE    a stamp that is absent is settled at once, since the store says it loses none
 *   KEEPS      the store indeed loses none
 *   FAILOVER   the store may come back with old data, under another identity
 *   TOUCHES    somebody calls invalidate() at any moment
 *   LATE       a begin or an end that was sent twice arrives when its writer is long over
 *   BOUNDED    writers only touch, after their commit
 *   SNAPSHOT   the last of two readers has transactions that see one state (one dependency)
 *   COMPANION  the result is made of dependency 1 alone, and whoever writes it writes 0 as well: steps on
 *              both are one, and 0 tells who may be in flight (D=2)
 *   PARTS      with COMPANION, writers take two steps for the two, that on 0 first
 *   PLAIN      none of the reductions (see "names"), so give TX and MOST
 * Mechanisms that are left out (-DNAME): see run.py.
 */

#ifndef W
#define W 2
#endif
#ifndef R
#define R 2
#endif
#ifndef D
#define D 1
#endif

#if D == 1
#define EACH(step) step(0)
#define EACH_OF(step, who) step(0, who)
#define ANY(test) test(0)
#define ALL(test) test(0)
#define FIRST 0
#define EACH_STAMP(step) step(0)
#define EACH_STAMP_OF(step, who) step(0, who)
#else
#define EACH_STAMP(step) step(0); step(1)
#define EACH_STAMP_OF(step, who) step(0, who); step(1, who)
#ifdef COMPANION
#define EACH(step) step(1)
#define EACH_OF(step, who) step(1, who)
#define ANY(test) test(1)
#define ALL(test) test(1)
#define FIRST 1
#else
#define EACH(step) EACH_STAMP(step)
#define EACH_OF(step, who) EACH_STAMP_OF(step, who)
#define ANY(test) (test(0) || test(1))
#define ALL(test) (test(0) && test(1))
#define FIRST 0
#endif
#endif

/* -- stamps ----------------------------------------------------------------------------------- */

/* A stamp is ABSENT, WRITING, or settled: then it is its nonce. */
#define ABSENT 0
#define WRITING 255
#define IS_SETTLED(stamp) ((stamp) != ABSENT && (stamp) != WRITING)

/* The leases of a writing stamp: a bit for each writer, and one for the quarantine. */
#define BIT(writer) (1 << (writer))
#define QUARANTINE (1 << W)

byte stamp[D];
byte held[D];

/*
 * No lease ends before its commit: so a writer's lease may run out once its transaction is over,
 * and the quarantine once all are over that were in flight when it was imposed (`awaited`), or have
 * renewed their own lease since. `flying`: have begun, and are not over.
 */
byte flying[D];
byte awaited[D];

/* -- the one cached result, made of all dependencies ------------------------------------------ */

byte entry_stamp[D];            /* as they were before the query; ABSENT: there is no entry */
byte entry_rows[D];             /* the version of each dependency that the rows show */

/* -- the database: a version of each dependency, raised by each commit that writes it ----------- */

byte db[D];

byte seen[D];                   /* the newest version that any read has returned */
#ifdef BOUNDED
byte told[D];                   /* the newest version when a writer last touched the stamp */
#endif

/* -- readers: what each of them holds (index: reader * D + dependency) -------------------------- */

byte read_stamp[R * D];         /* stamps, read before the query */
byte rows[R * D];               /* what the query gave */
byte found_stamp[R * D];        /* the fetched entry; ABSENT: none, or it is known not to fit */
byte found_rows[R * D];
byte least[R * D];              /* the version that this read may not stay behind */

/* -- snapshots: the state that a transaction sees, and what was settled since it read the clock -- */

#ifdef SNAPSHOT
byte state[D];
bool newer[D];                  /* the stamp was settled after the clock was read */
bool clocked;
#endif

/* -- failover: the data as they were at some time, and who has connected since ------------------ */

#ifdef FAILOVER
byte old_stamp[D];
byte old_held[D];
byte old_entry_stamp[D];
byte old_entry_rows[D];
bool identity_known = true;     /* the identity that is kept beside the stamps is the server's */
bool unlinked[W + R];           /* readers after writers */
byte unlinking[W + R];          /* 0: looks at the identity; n: removes stamp n - 1; then sets it */
#define LINKED(process) (!unlinked[process])
#else
#define LINKED(process) true
#endif

byte i;                         /* these are 0 except within a step */
byte low;
byte name;
#ifdef COMPANION
bool alone;                     /* nobody but the writer can have a lost lease on stamp 1 */
#define ALONE(d) ((d) == 1 && alone)
#else
#define ALONE(d) false
#endif
#ifdef OVER_ANYWAY
#define NEEDLESS(d) ((d) == 1)
#else
#define NEEDLESS(d) ALONE(d)    /* the quarantine waits for nobody */
#endif

/* -- names: keeping the model finite without leaving out a behaviour ---------------------------- */

/*
 * A nonce is random, so a fresh one is nowhere yet, and one that is neither a stamp's nor in the old
 * data will never be a stamp's again. Whatever is held of such a one is GONE, for it never equals a
 * stamp; an entry under it is as good as lost.
 */
#define GONE 254
#ifdef FAILOVER
#define OLD(d) old_stamp[d]
#else
#define OLD(d) ABSENT
#endif
#define LIVES(d, nonce) ((nonce) == stamp[d] || (nonce) == OLD(d) || !IS_SETTLED(nonce))

#if defined(NO_NONCE) || defined(ONE_STAMP) || defined(STORE_UNDER_LEASES)
/* Here stamps do come back, or are compared otherwise. */
#define PLAIN
#endif
/* Nonces are counted, as far as MOST of each dependency. */
#ifdef PLAIN
#ifndef MOST
#define MOST 9
#endif
byte counter[D];
#endif

inline forget_entry(d) {
    entry_stamp[d] = ABSENT;
    entry_rows[d] = 0
}

inline forget_found(d, r) {
    found_stamp[(r) * D + d] = ABSENT;
    found_rows[(r) * D + d] = 0;
    least[(r) * D + d] = 0
}

/* To be called when a stamp has changed. */
inline changed(d) {
#ifndef PLAIN
    d_step {
        if
        :: !LIVES(d, entry_stamp[d]) -> EACH(forget_entry)
        :: else
        fi;
        i = 0;
        do
        :: i < R ->
            if
            :: !LIVES(d, found_stamp[i * D + d]) -> EACH_OF(forget_found, i)
            :: else
            fi;
            if
            :: !LIVES(d, read_stamp[i * D + d]) -> read_stamp[i * D + d] = GONE
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    }
#else
    skip
#endif
}

/*
 * Of versions only the order matters, and only that to the committed one and to those that reads
 * may not stay behind. A version that is none of these is taken for the one below it.
 */
#ifdef BOUNDED
#define IS_TOLD(d, version) (told[d] == version)
#else
#define IS_TOLD(d, version) false
#endif
#if R == 1
#define IS_LEAST(d, version) (least[d] == version)
#elif R == 2
#define IS_LEAST(d, version) (least[d] == version || least[D + d] == version)
#else
#define IS_LEAST(d, version) \
    (least[d] == version || least[D + d] == version || least[2 * D + d] == version)
#endif
#ifdef SNAPSHOT
#define IS_STATE(d, version) (version == state[d] || version == state[d] + 1)
#else
#define IS_STATE(d, version) false
#endif
#define MATTERS(d, version) (IS_LEAST(d, version) || IS_TOLD(d, version) || IS_STATE(d, version))
#define LOWER(version) version = (version >= low -> version - 1 : version)

inline close_up(d) {
#ifdef PLAIN
    skip
#else
    d_step {
        low = 1;
        do
        :: low >= db[d] -> break
        :: low < db[d] && MATTERS(d, low) -> low++
        :: low < db[d] && !MATTERS(d, low) ->
            LOWER(db[d]);
            LOWER(entry_rows[d]);
            LOWER(seen[d]);
#ifdef SNAPSHOT
            LOWER(state[d]);
#endif
#ifdef BOUNDED
            LOWER(told[d]);
#endif
#ifdef FAILOVER
            LOWER(old_entry_rows[d]);
#endif
            i = d;
            do
            :: i < R * D ->
                LOWER(rows[i]);
                LOWER(found_rows[i]);
                LOWER(least[i]);
                i = i + D
            :: else -> break
            od;
            i = 0
        od;
        low = 0
    }
#endif
}

/* -- the steps of stamps.py --------------------------------------------------------------------- */

#ifdef FROZEN
#define OVER(d, w) true
#else
#define OVER(d, w) !(flying[d] & BIT(w))
#endif
#ifdef SHORT_QUARANTINE
#define ALL_OVER(d) true
#else
#define ALL_OVER(d) !awaited[d]
#endif

/* Only steps look at deadlines, so it is in a step that a lease has run out, or has not. */
inline drop_if_over(d, lease, may) {
    if
    :: (held[d] & (lease)) && (may) -> held[d] = held[d] & ~(lease)
    :: true
    fi
}

inline unexpired(d) {
    drop_if_over(d, BIT(0), OVER(d, 0));
#if W > 1
    drop_if_over(d, BIT(1), OVER(d, 1));
#endif
#if W > 2
    drop_if_over(d, BIT(2), OVER(d, 2));
#endif
    held[d] = (NEEDLESS(d) -> held[d] & ~QUARANTINE : held[d]);
    drop_if_over(d, QUARANTINE, ALL_OVER(d));
    if
    :: !(held[d] & QUARANTINE) -> awaited[d] = 0
    :: else
    fi
}

inline quarantine(d) {
#ifndef DURABLE
    held[d] = held[d] | QUARANTINE;
    awaited[d] = flying[d]
#else
    skip
#endif
}

#ifdef COMPANION
/* What the companion says when a step on both begins, whose writer's lease is left out. */
inline look(without) {
    alone = false;
    if
    :: IS_SETTLED(stamp[0]) -> alone = true
    :: stamp[0] == WRITING -> unexpired(0);
#ifdef ALONE_BESIDE_WRITERS
        alone = true
#else
        alone = !(held[0] & ~(without))
#endif
#ifdef ALONE_WITHOUT_COMPANION
    :: stamp[0] == ABSENT -> alone = true
#endif
    :: else
    fi
}
#endif

inline quarantine_if_absent(d) {
    if
    :: stamp[d] == ABSENT && !ALONE(d) -> quarantine(d)
    :: else
    fi
}

inline fresh(d) {
    d_step {
#ifdef PLAIN
        if
        :: counter[d] < MOST ->
            counter[d]++;
            stamp[d] = counter[d];
            held[d] = 0;
            awaited[d] = 0
        :: else ->              /* never settled again */
            stamp[d] = WRITING;
            held[d] = QUARANTINE;
            awaited[d] = 255
        fi
#else
        name = 1;
        do
        :: name == stamp[d] || name == OLD(d) -> name++
        :: else -> break
        od;
        stamp[d] = name;
        name = 0;
        held[d] = 0;
        awaited[d] = 0;
#ifdef SNAPSHOT
        newer[d] = clocked;
#endif
#endif
    }
}

inline writing_or_fresh(d) {
    if
    :: held[d] -> stamp[d] = WRITING
    :: else -> fresh(d)
    fi;
    changed(d)
}

inline begin(d, w) {
    unexpired(d);
#ifndef NO_QUARANTINE_BY_BEGIN
    quarantine_if_absent(d);
#endif
#ifdef ONE_LEASE
    held[d] = (held[d] & QUARANTINE) | BIT(w);
#else
    held[d] = held[d] | BIT(w);
#endif
    flying[d] = flying[d] | BIT(w);
    awaited[d] = awaited[d] & ~BIT(w);
    stamp[d] = WRITING;
    changed(d)
}

inline end_unknown(d) {
    unexpired(d);
#ifndef NO_QUARANTINE_BY_END
    if
    :: !ALONE(d) -> quarantine(d)
    :: else
    fi;
#endif
    writing_or_fresh(d)
}

inline end(d, w) {
    if
    :: held[d] & BIT(w) ->
        held[d] = held[d] & ~BIT(w);
        unexpired(d);
        writing_or_fresh(d)
    :: else -> end_unknown(d)
    fi
}

inline touch(d) {
    unexpired(d);
#ifndef NO_QUARANTINE_BY_TOUCH
    quarantine_if_absent(d);
#endif
    writing_or_fresh(d)
}

inline settle(d) {
    if
    :: IS_SETTLED(stamp[d])
    :: else ->
        unexpired(d);
#ifndef NO_QUARANTINE_BY_READER
        quarantine_if_absent(d);
#endif
        writing_or_fresh(d)
    fi
}

inline lose(d) {
    d_step {
        stamp[d] = ABSENT;
        held[d] = 0;
        awaited[d] = 0;
#ifdef NO_NONCE
        counter[d] = 0;
#endif
    }
    changed(d)
}

/* -- writers ------------------------------------------------------------------------------------ */

#define WRITES(d) (set & (1 << (d)))
#define TO_DO(d) (todo & (1 << (d)))
#define DONE(d) todo = todo & ~(1 << (d))

inline commit(d) {
    if
    :: WRITES(d) -> d_step { db[d]++ }; close_up(d)
    :: else
    fi
}

/* The transaction is over: from now on its leases may run out, and nobody waits for it. */
inline over(d, w) {
    flying[d] = flying[d] & ~BIT(w);
    awaited[d] = awaited[d] & ~BIT(w)
}

/*
 * The next transaction has another token. A lease that nobody will end only runs out, as the
 * quarantine does, and with the quarantine beside it does no more than that alone.
 */
inline leave(d, w) {
    if
    :: held[d] & BIT(w) -> held[d] = (held[d] & ~BIT(w)) | QUARANTINE
    :: else
    fi;
#ifdef FAILOVER
    if
    :: old_held[d] & BIT(w) -> old_held[d] = (old_held[d] & ~BIT(w)) | QUARANTINE
    :: else
    fi
#endif
}

#if !defined(BOUNDED) && !defined(LATE_BEGIN)
#define BEGINS_FIRST
#endif

#define BEGINS(d) \
    atomic { TO_DO(d) && LINKED(w) -> begin(d, w); DONE(d); \
        printf("writer %d: begin(%d)\n", w, d) }
#define RENEWS(d) \
    atomic { !todo && WRITES(d) && LINKED(w) -> begin(d, w); \
        printf("writer %d: begin(%d) again\n", w, d) }
#define ENDS(d) \
    atomic { TO_DO(d) && LINKED(w) -> end(d, w); DONE(d); \
        printf("writer %d: end(%d)\n", w, d) }
#ifdef COMPANION
#define WITH_IT(step) \
    look(BIT(w)); if :: WRITES(1) -> step(1, w) :: else fi; step(0, w); alone = false
#define BEGINS_BOTH \
    atomic { todo && LINKED(w) -> WITH_IT(begin); todo = 0; printf("writer %d: begins\n", w) }
#define RENEWS_BOTH \
    atomic { !todo && LINKED(w) -> WITH_IT(begin); printf("writer %d: begins again\n", w) }
#define ENDS_BOTH \
    atomic { todo && LINKED(w) -> WITH_IT(end); todo = 0; printf("writer %d: ends\n", w) }
#ifdef COMPANION_LAST
#define NEXT(d) ((d) == 1 || !TO_DO(1))
#else
#define NEXT(d) ((d) == 0 || !TO_DO(0))
#endif
#define BEGINS_PART(d) \
    atomic { TO_DO(d) && NEXT(d) && LINKED(w) -> begin(d, w); DONE(d); \
        printf("writer %d: begin(%d)\n", w, d) }
#define ENDS_PART(d) \
    atomic { TO_DO(d) && ((d) == 0 || !TO_DO(0)) && LINKED(w) -> end(d, w); DONE(d); \
        printf("writer %d: end(%d)\n", w, d) }
#endif
#define TOUCHED(d) \
    atomic { TO_DO(d) && LINKED(w) -> touch(d); told[d] = db[d]; close_up(d); DONE(d); \
        printf("writer %d: touch(%d)\n", w, d) }
#define BEGINS_LATE(d) \
    atomic { TO_DO(d) -> begin(d, w); over(d, w); DONE(d); \
        printf("writer %d: begin(%d)\n", w, d) }

/*
 * One transaction after another. What a writer does before `begin` is nobody's business: rows that
 * are not committed are seen by no other. One that has died while its COMMIT was on the way cannot
 * be told from a slow one until the database is done with it; then it never calls `end`.
 */
proctype writer(byte w) {
    byte set;                   /* the dependencies that it writes, as bits */
    byte todo;                  /* those that are left to begin, or to end */
#ifdef TX
    byte left = TX;
#endif

idle:
    atomic {
#ifdef TX
        left > 0;
        left--;
#endif
#if D == 1
        set = 1;
#else
        if
        :: set = 1
#ifndef COMPANION
        :: set = 2
#endif
        :: set = 3
        fi;
#endif
#ifdef BEGINS_FIRST
        todo = set
#endif
    };
    do
#if defined(COMPANION) && !defined(PARTS)
    :: BEGINS_BOTH
    :: RENEWS_BOTH
#elif defined(BEGINS_FIRST)
#ifdef COMPANION
    :: BEGINS_PART(0)
    :: BEGINS_PART(1)
#else
    :: BEGINS(0)
#endif
    :: RENEWS(0)
#if D > 1
#ifndef COMPANION
    :: BEGINS(1)
#endif
    :: RENEWS(1)
    /* It gets no answer to a begin, and gives up. */
    :: atomic { todo && todo != set -> EACH_STAMP_OF(over, w); todo = set;
        printf("writer %d: gives up\n", w); goto ending }
#endif
#endif
    :: atomic { !todo -> EACH(commit); EACH_STAMP_OF(over, w); todo = set;
        printf("writer %d: commit\n", w); break }
    :: atomic { !todo -> EACH_STAMP_OF(over, w); todo = set;
        printf("writer %d: rollback\n", w); break }
    od;
#ifdef LATE_BEGIN
    do
    :: BEGINS_LATE(0)
#if D > 1
    :: BEGINS_LATE(1)
#endif
    :: atomic { !todo -> todo = set; break }
    od;
#endif
ending:
    do
#ifdef BOUNDED
    :: TOUCHED(0)
#if D > 1
    :: TOUCHED(1)
#endif
#elif defined(PARTS)
    :: ENDS_PART(0)
    :: ENDS_PART(1)
#elif defined(COMPANION)
    :: ENDS_BOTH
#else
    :: ENDS(0)
#if D > 1
    :: ENDS(1)
#endif
#endif
    :: atomic { EACH_STAMP_OF(leave, w);
        if
        :: todo -> printf("writer %d: dies\n", w)
        :: else
        fi;
        set = 0; todo = 0; goto idle }
    od
}

/* -- readers ------------------------------------------------------------------------------------ */

#define AT(d) (r * D + (d))

#ifdef STORE_UNDER_LEASES
#define VALUE(d) (stamp[d] == WRITING -> 100 + held[d] : stamp[d])
#else
#define VALUE(d) stamp[d]
#endif

/*
 * The two promises: a read returns nothing older than what had been committed when it began, and
 * nothing older than what any other read had returned by then. Both are asked of the hits: what a
 * query returns is what is committed now.
 */
inline begin_read(d) {
#if defined(BOUNDED) && !defined(STRICTLY)
    least[AT(d)] = told[d]
#else
    least[AT(d)] = (seen[d] > db[d] -> seen[d] : db[d])
#endif
}

inline note_seen(d, version) {
    seen[d] = (version > seen[d] -> version : seen[d])
}

inline check(d) {
    assert(found_rows[AT(d)] >= least[AT(d)]);
    note_seen(d, found_rows[AT(d)])
}

inline fetch(d) {
    found_stamp[AT(d)] = entry_stamp[d];
    found_rows[AT(d)] = entry_rows[d]
}

inline see_stamp(d) {
    read_stamp[AT(d)] = VALUE(d);
#ifdef ONE_STAMP
    if
    :: d == 0 && found_stamp[AT(0)] != read_stamp[AT(0)] -> EACH_OF(forget_found, r)
#else
    if
    :: found_stamp[AT(d)] != read_stamp[AT(d)] -> EACH_OF(forget_found, r)
#endif
    :: else
    fi
}

inline forget_read(d) {
    read_stamp[AT(d)] = ABSENT;
    rows[AT(d)] = 0;
    forget_found(d, r);
    close_up(d)
}

inline query(d) {
    rows[AT(d)] = db[d];
    note_seen(d, db[d])
}

inline store(d) {
    entry_stamp[d] = read_stamp[AT(d)];
    entry_rows[d] = rows[AT(d)];
}

/* Under STORE_UNDER_LEASES those that hold leases have another value than WRITING. */
#define USABLE(d) IS_SETTLED(read_stamp[AT(d)])
#define GOES(d) (read_stamp[AT(d)] == GONE)

#define SEES_STAMP(d) \
    printf("reader %d: reads stamp %d (%d)\n", r, d, stamp[d]); see_stamp(d); close_up(d)
#define SETTLES(d) \
    atomic { !IS_SETTLED(read_stamp[AT(d)]) && LINKED(W + r) -> \
        settle(d); read_stamp[AT(d)] = VALUE(d); \
        printf("reader %d: settle(%d) gives %d\n", r, d, stamp[d]) }

#ifdef COMPANION
#define SETTLES_READ \
    atomic { !IS_SETTLED(read_stamp[AT(1)]) && LINKED(W + r) -> \
        look(0); settle(1); settle(0); alone = false; read_stamp[AT(1)] = VALUE(1); \
        printf("reader %d: settle gives %d\n", r, stamp[1]) }
#else
#define SETTLES_READ SETTLES(0)
#endif

proctype reader(byte r) {
idle:
    /* The entry may come from an earlier moment than its stamps, and these from several. A read
       that begins earlier than it fetches has less to keep up with. */
    atomic {
        LINKED(W + r);
        EACH(fetch);
        if
        :: found_stamp[AT(FIRST)] != ABSENT -> EACH(begin_read)
        :: else
        fi;
        printf("reader %d: fetches the entry (%d)\n", r, entry_stamp[FIRST])
    };
    atomic {
        LINKED(W + r);
#ifndef COMPANION
        SEES_STAMP(0);
#endif
#if D > 1 && !defined(COMPANION)
    };
    atomic {
        LINKED(W + r);
#endif
#if D > 1
        SEES_STAMP(1);
#endif
        if
        :: found_stamp[AT(FIRST)] != ABSENT ->
            printf("reader %d: hit, version %d, may not be below %d\n", r,
                found_rows[AT(FIRST)], least[AT(FIRST)]);
#if D > 1 && !defined(COMPANION)
            printf("reader %d: ... version %d of 1, may not be below %d\n", r,
                found_rows[AT(1)], least[AT(1)]);
#endif
            EACH(check);
            EACH(forget_read);
            goto idle
        :: else
        fi
    };
    do
#ifndef STAMPS_AFTER
    :: SETTLES_READ
#if D > 1 && !defined(COMPANION)
    :: SETTLES(1)
#endif
    :: atomic { ALL(USABLE) -> EACH(query);
        printf("reader %d: queries, version %d\n", r, db[FIRST]); break }
    :: atomic { EACH(query); EACH(forget_read);
        printf("reader %d: queries, stores nothing\n", r); goto idle }
#else
    :: atomic { EACH(query); printf("reader %d: queries, version %d\n", r, db[FIRST]); break }
#endif
    od;
#ifdef STAMPS_AFTER
    atomic { SEES_STAMP(0) };
#if D > 1
    atomic { SEES_STAMP(1) };
#endif
    do
    :: SETTLES_READ
#if D > 1 && !defined(COMPANION)
    :: SETTLES(1)
#endif
    :: atomic { ALL(USABLE) -> break }
    :: atomic { EACH(forget_read); goto idle }
    od;
#endif
    atomic {
        if
        :: LINKED(W + r) && !ANY(GOES) -> d_step { EACH(store) };
            printf("reader %d: stores the entry\n", r)
        :: LINKED(W + r) -> EACH(forget_entry);
            printf("reader %d: stores an entry under stamps that are gone\n", r)
        :: true                 /* it dies, or the entry is lost on the way */
        fi;
        EACH(forget_read);
        goto idle
    }
}

/* -- transactions that see one state ------------------------------------------------------------ */

#ifdef SNAPSHOT
#ifdef NO_SEQUENCE
#define IS_NEWER(d) false
#else
#define IS_NEWER(d) newer[d]
#endif

/*
 * The promise: what is served is of the state that is read from the database. What is stored is
 * everybody's, and the other reader finds out whether it may be.
 */
inline take(d) {
    assert(!served || state[d] == db[d]);
    state[d] = db[d];
    taken = true;
    close_up(d);
    printf("snapshot: takes version %d\n", state[d])
}

inline take_if_none(d) {
#ifdef NOT_TAKEN
    if
    :: !taken -> take(d)
    :: else
    fi
#else
    skip
#endif
}

proctype snapshot(byte r) {
    bool taken;                 /* the database has taken the state */
    bool served;                /* something was served before it had */
    bool late;                  /* the stamp that was read is newer than the clock */

idle:
#ifdef TAKE_FIRST
    atomic { take(0) };
#endif
    atomic { clocked = true; newer[0] = false; printf("snapshot: reads the clock\n") };
#if !defined(TAKE_FIRST) && !defined(NOT_TAKEN)
    atomic { take(0) };
#endif
open:
    do
    :: atomic { fetch(0); printf("snapshot: fetches the entry (%d)\n", entry_stamp[0]); break }
    :: atomic { clocked = false; newer[0] = false; taken = false; served = false; late = false;
        state[0] = 0; close_up(0); printf("snapshot: ends\n"); goto idle }
    od;
    atomic {
        SEES_STAMP(0);
        late = IS_NEWER(0);
        if
        :: found_stamp[AT(0)] != ABSENT && !late ->
            printf("snapshot: hit, version %d, must be %d\n", found_rows[AT(0)], state[0]);
#ifdef NOT_TAKEN
            if
            :: !taken && !served -> state[0] = found_rows[AT(0)]; served = true
            :: else
            fi;
#endif
            assert(found_rows[AT(0)] == state[0]);
            forget_read(0);
            goto open
        :: else
        fi
    };
    do
    :: atomic { !IS_SETTLED(read_stamp[AT(0)]) -> settle(0); read_stamp[AT(0)] = VALUE(0);
        late = IS_NEWER(0); printf("snapshot: settle(0) gives %d\n", stamp[0]) }
    :: atomic { USABLE(0) && !late -> take_if_none(0); rows[AT(0)] = state[0];
        printf("snapshot: queries, version %d\n", state[0]); break }
    :: atomic { take_if_none(0); forget_read(0); late = false;
        printf("snapshot: queries, stores nothing\n"); goto open }
    od;
    atomic {
        if
        :: !GOES(0) -> d_step { store(0) }; printf("snapshot: stores the entry\n")
        :: GOES(0) -> forget_entry(0)
        :: true                 /* it dies, or the entry is lost on the way */
        fi;
        forget_read(0);
        goto open
    }
}
#endif

/* -- what happens by itself --------------------------------------------------------------------- */

inline arrive_late(d) {
    if
    :: end_unknown(d); printf("store: a late end(%d)\n", d)
    :: touch(d);                /* as far as a begin, then its lease, which nobody will end */
        held[d] = held[d] | QUARANTINE;
        stamp[d] = WRITING;
        changed(d);
        printf("store: a late begin(%d)\n", d)
    fi
}

#ifdef FAILOVER
#define FITS_OLD(d) (entry_stamp[d] == stamp[d])

inline copy_stamp(d) {
    old_stamp[d] = stamp[d];
    old_held[d] = held[d]
}

inline copy_entry(d) {
    old_entry_stamp[d] = entry_stamp[d];
    old_entry_rows[d] = entry_rows[d]
}

inline copy_no_entry(d) {
    old_entry_stamp[d] = ABSENT;
    old_entry_rows[d] = 0
}

inline bring_back(d) {
    stamp[d] = old_stamp[d];
    held[d] = old_held[d];
    awaited[d] = 0;
    entry_stamp[d] = old_entry_stamp[d];
    entry_rows[d] = old_entry_rows[d]
}

inline link(p) {
    if
    :: unlinking[p] == 0 && identity_known -> unlinked[p] = false
    :: unlinking[p] == 0 && !identity_known -> unlinking[p] = 1
    :: unlinking[p] == 1 -> lose(0); unlinking[p] = 2
#if D > 1
    :: unlinking[p] == 2 -> lose(1); unlinking[p] = 3
#endif
    :: unlinking[p] == D + 1 -> identity_known = true; unlinked[p] = false; unlinking[p] = 0
    fi;
    printf("process %d: connects (%d)\n", p, unlinking[p])
}
#endif

#define LOSES(d) \
    atomic { stamp[d] != ABSENT -> lose(d); printf("store: stamp %d is lost\n", d) }
#define TOUCHES_OUTSIDE(d) \
    atomic { touch(d); printf("somebody: touch(%d)\n", d) }

proctype world() {
    do
#ifndef KEEPS
    :: LOSES(0)
#if D > 1
    :: LOSES(1)
#endif
#endif
    :: atomic { entry_stamp[FIRST] != ABSENT -> EACH(forget_entry); printf("store: the entry is lost\n") }
#ifdef TOUCHES
    :: TOUCHES_OUTSIDE(0)
#ifdef COMPANION
    :: atomic { look(0); touch(1); touch(0); alone = false; printf("somebody: touches both\n") }
#elif D > 1
    :: TOUCHES_OUTSIDE(1)
#endif
#endif
#ifdef LATE
    :: atomic { arrive_late(0) }
#ifdef COMPANION
    :: atomic { look(0); arrive_late(1); arrive_late(0); alone = false }
#elif D > 1
    :: atomic { arrive_late(1) }
#endif
#endif
#ifdef FAILOVER
    :: atomic {
        EACH_STAMP(copy_stamp);
#ifdef PLAIN
        EACH(copy_entry);
#else
        if
        :: entry_stamp[FIRST] != ABSENT && ALL(FITS_OLD) -> EACH(copy_entry)
        :: else -> EACH(copy_no_entry)   /* it could not be hit when it came back */
        fi;
#endif
        EACH_STAMP(changed);
        printf("store: a replica gets the data of now\n") }
    :: atomic {
        d_step {
            EACH_STAMP(bring_back);
#ifndef NO_EPOCH
            identity_known = false;
            i = 0;
            do
            :: i < W + R -> unlinked[i] = true; unlinking[i] = 0; i++
            :: else -> break
            od;
            i = 0
#endif
        };
        EACH_STAMP(changed);
        printf("store: the replica takes over\n") }
    :: atomic { unlinked[0] -> link(0) }
    :: atomic { unlinked[1] -> link(1) }
#if W + R > 2
    :: atomic { unlinked[2] -> link(2) }
#endif
#if W + R > 3
    :: atomic { unlinked[3] -> link(3) }
#endif
#if W + R > 4
    :: atomic { unlinked[4] -> link(4) }
#endif
#endif
    od
}

init {
    atomic {
        run writer(0);
#if W > 1
        run writer(1);
#endif
#if W > 2
        run writer(2);
#endif
        run reader(0);
#ifdef SNAPSHOT
        run snapshot(1);
#elif R > 1
        run reader(1);
#endif
#if R > 2
        run reader(2);
#endif
        run world()
    }
}
