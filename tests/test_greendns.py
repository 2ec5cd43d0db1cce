"""eventlet.support.greendns: names looked up by asking a name server."""

import socket as stdlib_socket

import pytest

pytest.importorskip("dns.resolver", reason="dnspython is not installed")

import dns.exception
import dns.message
import dns.query
import dns.resolver

import eventlet
from eventlet.green import _dns, socket
from eventlet.support import greendns
from support.dns_server import name_server

# Only these tests look up names this way.
_dns.install(None)

RECORDS = {
    ("both.test.", "A"): ["192.0.2.1", "192.0.2.2"],
    ("both.test.", "AAAA"): ["2001:db8::1"],
    ("four.test.", "A"): ["192.0.2.4"],
    ("alias.test.", "CNAME"): ["both.test."],
    ("1.2.0.192.in-addr.arpa.", "PTR"): ["both.test."],
    ("single.", "A"): ["192.0.2.5"],
    ("xn--bcher-kva.test.", "A"): ["192.0.2.6"],
}


@pytest.fixture
def server(clean_hub, monkeypatch, tmp_path):
    """A name server that everything in greendns asks, and an empty hosts file."""
    hosts = tmp_path / "hosts"
    hosts.touch()
    with name_server(RECORDS) as running:
        proxy = greendns.ResolverProxy(greendns.HostsResolver(str(hosts), interval=0))
        proxy._resolver = running.resolver()
        monkeypatch.setattr(greendns, "resolver", proxy)
        monkeypatch.setattr(_dns, "_resolver", greendns._Functions)
        running.hosts = hosts
        yield running


def addresses(found):
    return sorted({each[4][0] for each in found})


# ------------------------------------------------------------------------------------------------
# What is asked for, and what is not


def test_dnspython_is_not_loaded_by_eventlet(run_python):
    run_python(
        """
import sys
import eventlet.green.socket, eventlet.support, eventlet.wsgi
eventlet.green.socket.getaddrinfo("localhost", 80)
assert not [name for name in sys.modules if name.partition(".")[0] == "dns"]
"""
    )


LOOK_UP = """
import sys
from eventlet.green import _dns, socket
if "import" in sys.argv:
    from eventlet.support import greendns
socket.gethostbyname("localhost")
greendns = sys.modules.get("eventlet.support.greendns")
print(greendns is not None, greendns and socket.gethostbyname is greendns.gethostbyname)
if greendns:
    asked = []
    greendns.resolve = lambda name, *rest, **kw: asked.append(name) or greendns.HostsAnswer(
        greendns.dns.name.from_text(name), 1, 1, None, False
    )
    _dns._getaddrinfo = lambda *args: []
    try:
        socket.getaddrinfo("nothing.invalid", 80)
    except OSError:
        pass
    print(bool(asked))
"""


@pytest.mark.parametrize(
    ("wish", "args", "output"),
    [
        ("", [], "False None\n"),
        ("", ["import"], "True True\nTrue\n"),
        ("yes", [], "False None\n"),
        ("yes", ["import"], "True False\nFalse\n"),
        ("no", [], "True True\nTrue\n"),
    ],
)
def test_who_looks_up_names(run_python, wish, args, output):
    done = run_python(LOOK_UP, *args, env={"EVENTLET_NO_GREENDNS": wish})
    assert done.stdout == output


def test_the_module_says_what_it_needs(run_python):
    run_python(
        """
import sys
sys.modules["dns"] = None
try:
    import eventlet.support.greendns
except ImportError as error:
    assert "eventlet[dns]" in str(error), error
else:
    raise SystemExit("imported")
"""
    )


# ------------------------------------------------------------------------------------------------
# The functions of the module socket


def test_getaddrinfo_of_both_families(server):
    found = socket.getaddrinfo("both.test", 80, 0, socket.SOCK_STREAM)
    assert found[0][4][0] == "2001:db8::1"
    assert addresses(found) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    assert {each[4][1] for each in found} == {80}
    assert {name for _, name, _ in server.questions} == {"both.test."}


def test_both_families_are_asked_for_at_once(server):
    server.gate = eventlet.Event()
    asking = eventlet.spawn(socket.getaddrinfo, "both.test", 80)
    with eventlet.Timeout(10):
        while len(server.questions) < 2:
            eventlet.sleep(0)
    server.gate.send()
    assert len(addresses(asking.wait())) == 3


def test_getaddrinfo_of_one_family(server):
    assert addresses(socket.getaddrinfo("both.test", 80, socket.AF_INET6)) == ["2001:db8::1"]
    assert addresses(socket.getaddrinfo("four.test", 80)) == ["192.0.2.4"]
    with pytest.raises(stdlib_socket.gaierror):
        socket.getaddrinfo("four.test", 80, socket.AF_INET6)
    mapped = socket.getaddrinfo("four.test", 80, socket.AF_INET6, 0, 0, socket.AI_V4MAPPED)
    assert addresses(mapped) == ["::ffff:192.0.2.4"]


def test_one_family_fails_and_the_other_does_not(server, monkeypatch):
    original = greendns.resolve

    def resolve(name, family, *args, **kwargs):
        if family == socket.AF_INET6 and kwargs.get("use_network", True):
            raise stdlib_socket.gaierror(socket.EAI_AGAIN, "no answer")
        return original(name, family, *args, **kwargs)

    monkeypatch.setattr(greendns, "resolve", resolve)
    assert addresses(socket.getaddrinfo("both.test", 80)) == ["192.0.2.1", "192.0.2.2"]


def test_canonical_name(server):
    found = socket.getaddrinfo("alias.test", 80, 0, 0, 0, socket.AI_CANONNAME)
    assert found[0][3] == "both.test"
    assert addresses(found) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]


def test_international_name(server):
    assert socket.gethostbyname("xn--bcher-kva.test") == "192.0.2.6"
    assert addresses(socket.getaddrinfo("bücher.test", 80)) == ["192.0.2.6"]


def test_unknown_name(server):
    for function in (socket.gethostbyname, socket.gethostbyname_ex):
        with pytest.raises(stdlib_socket.gaierror) as caught:
            function("nothing.test")
        assert caught.value.errno == socket.EAI_NONAME
    with pytest.raises(stdlib_socket.gaierror) as caught:
        socket.getaddrinfo("nothing.test", 80)
    assert caught.value.errno == socket.EAI_NONAME
    with pytest.raises(stdlib_socket.gaierror):
        socket.getaddrinfo("", 80)


def test_failing_server_is_asked_another_time(server):
    server.failing.add("both.test.")
    with pytest.raises(stdlib_socket.gaierror) as caught:
        socket.gethostbyname("both.test")
    assert caught.value.errno == socket.EAI_AGAIN


def test_silent_server(server):
    server.ignored.add("both.test.")
    greendns.resolver._resolver.lifetime = 0.2
    with pytest.raises(stdlib_socket.gaierror) as caught:
        socket.getaddrinfo("both.test", 80)
    assert caught.value.errno == socket.EAI_AGAIN


def test_gethostbyname_ex(server):
    name, aliases, found = socket.gethostbyname_ex("both.test")
    assert (name, aliases, sorted(found)) == ("both.test", [], ["192.0.2.1", "192.0.2.2"])
    _, aliases, found = socket.gethostbyname_ex("alias.test")
    assert (aliases, sorted(found)) == (["both.test."], ["192.0.2.1", "192.0.2.2"])
    assert socket.gethostbyname_ex("192.0.2.9") == ("192.0.2.9", [], ["192.0.2.9"])


def test_getnameinfo(server):
    assert socket.getnameinfo(("192.0.2.1", 80), socket.NI_NUMERICSERV) == ("both.test", "80")
    assert server.questions == [("udp", "1.2.0.192.in-addr.arpa.", "PTR")]
    # No name: the address itself, unless a name is demanded.
    assert socket.getnameinfo(("192.0.2.2", 80), socket.NI_NUMERICSERV) == ("192.0.2.2", "80")
    assert socket.getnameinfo(("2001:db8::9", 80), socket.NI_NUMERICSERV) == ("2001:db8::9", "80")
    with pytest.raises(stdlib_socket.gaierror):
        socket.getnameinfo(("192.0.2.2", 80), socket.NI_NAMEREQD)
    with pytest.raises(TypeError):
        socket.getnameinfo(None, 0)


def test_getnameinfo_by_number_asks_nobody(server):
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert socket.getnameinfo(("192.0.2.1", 80), flags) == ("192.0.2.1", "80")
    assert socket.getnameinfo(("::1", 80), socket.NI_NUMERICHOST)[0] == "::1"
    assert server.questions == []


def test_getnameinfo_of_a_name(server):
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert socket.getnameinfo(("four.test", 80), flags) == ("192.0.2.4", "80")
    with pytest.raises(OSError, match="multiple addresses"):
        socket.getnameinfo(("both.test", 80), flags)


def test_connect_by_name(server, listener):
    server.records = {("peer.test.", "A"): ["127.0.0.1"]}
    with socket.create_connection(("peer.test", listener.getsockname()[1])):
        accepted, _ = listener.accept()
        accepted.close()
    with socket.socket() as sock:
        sock.connect(("peer.test", listener.getsockname()[1]))
        accepted, _ = listener.accept()
        accepted.close()


# ------------------------------------------------------------------------------------------------
# The hosts file


def test_hosts_file_comes_first(server):
    server.hosts.write_text("192.0.2.77 both.test both # comment\n2001:db8::77\tboth.test\n")
    assert addresses(socket.getaddrinfo("both.test", 80)) == ["192.0.2.77", "2001:db8::77"]
    assert socket.gethostbyname("both") == "192.0.2.77"
    assert socket.getnameinfo(("192.0.2.77", 80), 0)[0] == "both.test"
    assert server.questions == []


def test_hosts_file_is_read_again(server):
    server.hosts.write_text("192.0.2.77 host.test\n")
    assert socket.gethostbyname("host.test") == "192.0.2.77"
    server.hosts.write_text("192.0.2.178 host.test\n")
    assert socket.gethostbyname("HOST.test") == "192.0.2.178"
    server.hosts.unlink()
    with pytest.raises(stdlib_socket.gaierror):
        socket.gethostbyname("host.test")


# ------------------------------------------------------------------------------------------------
# Name servers


def test_answers_are_kept(server):
    greendns.resolver._resolver.cache = dns.resolver.LRUCache()
    for _ in range(3):
        assert socket.gethostbyname("four.test") == "192.0.2.4"
    assert server.questions == [("udp", "four.test.", "A")]


def test_resolver_is_made_of_the_file(tmp_path):
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.2.53\n")
    proxy = greendns.ResolverProxy(filename=str(file))
    assert [str(each) for each in proxy._resolver.nameservers] == ["192.0.2.53"]
    assert isinstance(proxy._resolver.cache, dns.resolver.LRUCache)
    file.write_text("nameserver 192.0.2.54\n")
    proxy.clear()
    assert [str(each) for each in proxy._resolver.nameservers] == ["192.0.2.54"]


def test_name_without_dots(server):
    greendns.resolver._resolver.search = [dns.name.from_text("elsewhere.test")]
    assert socket.gethostbyname("single") == "192.0.2.5"


def test_circle_of_aliases(server):
    server.records = {("a.test.", "CNAME"): ["b.test."], ("b.test.", "CNAME"): ["a.test."]}
    assert set(greendns.getaliases("a.test")) == {"a.test.", "b.test."}


def test_lookups_overlap(server):
    server.gate = eventlet.Event()
    pile = eventlet.GreenPile(50)
    for _ in range(50):
        pile.spawn(socket.gethostbyname, "four.test")
    with eventlet.Timeout(20):
        while len(server.questions) < 50:
            eventlet.sleep(0)
    server.gate.send()
    assert set(pile) == {"192.0.2.4"}


def test_timeout_ends_a_lookup(server):
    server.ignored.add("both.test.")
    with pytest.raises(eventlet.Timeout), eventlet.Timeout(0.05):
        socket.getaddrinfo("both.test", 80)


def test_large_answer_comes_by_tcp(server):
    server.large.add("both.test.")
    assert sorted(socket.gethostbyname_ex("both.test")[2]) == ["192.0.2.1", "192.0.2.2"]
    assert {transport for transport, *_ in server.questions} == {"udp", "tcp"}


def test_dnspython_itself_is_green(server):
    query = dns.message.make_query("four.test", "A")
    ticks = []
    ticking = eventlet.spawn(lambda: [ticks.append(eventlet.sleep(0)) for _ in range(3)])
    for ask in (dns.query.udp, dns.query.tcp, greendns.udp, greendns.tcp):
        response = ask(query, "127.0.0.1", port=server.port, timeout=10)
        assert response.answer[0][0].address == "192.0.2.4"
    # The server runs in this very thread: it has been given the chance to.
    ticking.wait()


def test_given_sockets_are_used_and_left_open(server):
    query = dns.message.make_query("four.test", "A")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        greendns.udp(query, "127.0.0.1", port=server.port, sock=sock)
        greendns.udp(query, "127.0.0.1", port=server.port, sock=sock)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        greendns.tcp(query, "127.0.0.1", sock=sock)
        greendns.tcp(query, "127.0.0.1", sock=sock)


def test_source_address_and_port(server):
    query = dns.message.make_query("four.test", "A")
    for ask in (greendns.udp, greendns.tcp):
        response = ask(query, "127.0.0.1", port=server.port, source="127.0.0.1", source_port=0)
        assert response.answer


def test_datagrams_of_others_do_not_prolong_the_wait(clean_hub):
    query = dns.message.make_query("four.test", "A")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))

        def disturb():
            _, address = silent.recvfrom(65535)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                while True:
                    other.sendto(b"nonsense", address)
                    eventlet.sleep(0.005)

        disturbing = eventlet.spawn(disturb)
        try:
            with eventlet.Timeout(20), pytest.raises(dns.exception.Timeout):
                greendns.udp(
                    query,
                    "127.0.0.1",
                    port=silent.getsockname()[1],
                    timeout=0.2,
                    ignore_unexpected=True,
                )
        finally:
            disturbing.kill()


def test_answer_from_elsewhere_is_an_error(server):
    query = dns.message.make_query("four.test", "A")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as proxy:
        proxy.bind(("127.0.0.1", 0))

        def redirect():
            data, address = proxy.recvfrom(65535)
            server.datagram.sendto(server.answer(data, "udp"), address)

        eventlet.spawn(redirect)
        with pytest.raises(dns.query.UnexpectedSource):
            greendns.udp(query, "127.0.0.1", port=proxy.getsockname()[1])


def test_server_that_is_not_there(clean_hub):
    query = dns.message.make_query("four.test", "A")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            greendns.tcp(query, "127.0.0.1", port=port)


def test_resolver_does_not_block_while_it_waits_to_try_again(server):
    server.failing.add("four.test.")
    # The resolver sleeps between its attempts at a server that refuses.
    ask = greendns.resolver._resolver
    ask.retry_servfail = True
    ask.lifetime = 1
    ticks = []

    def tick():
        while True:
            ticks.append(eventlet.sleep(0.01))

    ticking = eventlet.spawn(tick)
    try:
        with pytest.raises(stdlib_socket.gaierror):
            socket.gethostbyname("four.test")
    finally:
        ticking.kill()
    assert len(ticks) > 20


def test_is_ip_addr():
    assert greendns.is_ip_addr("::1%2")
    assert greendns.is_ip_addr("192.0.2.1")
    assert not greendns.is_ip_addr("host.test")
    assert not greendns.is_ip_addr(b"192.0.2.1")


def test_errors_keep_no_stack_alive():
    for error in (greendns.EAI_EAGAIN_ERROR, greendns.EAI_NODATA_ERROR):
        with pytest.raises(stdlib_socket.gaierror) as caught:
            greendns._raise_new_error(error)
        assert caught.value is not error
        assert caught.value.args == error.args
        assert error.__traceback__ is None
