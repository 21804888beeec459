//! Pickles written byte by byte: what torch writes is understood, what would harm is refused, and
//! nothing panics.

use super::{Dialect, Document, PickleError, flatten, read};

const TENSOR: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n";
const DICT: &[u8] = b"ccollections\nOrderedDict\n)R";

fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![b'X'];
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A persistent id of a storage of twelve singles.
fn storage() -> Vec<u8> {
    let (kind, key, device) = (text("storage"), text("0"), text("cpu"));
    joined(&[b"(", &kind, b"ctorch\nFloatStorage\n", &key, &device, b"K\x0ctQ"])
}

/// A dictionary with one 3 by 4 tensor, its offset given by `offset`.
fn one_tensor(offset: &[u8]) -> Vec<u8> {
    let (name, storage) = (text("w"), storage());
    let sizes: &[u8] = b"K\x03K\x04\x86K\x04K\x01\x86\x89";
    joined(&[b"\x80\x02}", &name, TENSOR, b"(", &storage, offset, sizes, DICT, b"tRs."])
}

fn torch(bytes: &[u8]) -> Result<Document<'_>, PickleError> {
    read(bytes, Dialect::Torch)
}

fn scalar(bytes: &[u8], name: &str) -> Option<String> {
    flatten(&torch(bytes).ok()?).ok()?.scalars.get(name).cloned()
}

fn flat_error(bytes: &[u8]) -> PickleError {
    flatten(&torch(bytes).unwrap()).unwrap_err()
}

#[test]
fn a_tensor_is_understood() {
    let bytes = one_tensor(b"K\x00");
    let document = torch(&bytes).unwrap();
    let index = flatten(&document).unwrap().tensors["w"];
    let tensor = &document.tensors[index];
    assert_eq!((&*tensor.shape, &*tensor.strides), (&[3, 4][..], &[4, 1][..]));
    assert_eq!(document.storages[tensor.storage].length, 12);
    assert_eq!(document.length, bytes.len());
}

#[test]
fn nested_names_and_numbers_of_protocol_4() {
    let frame = b"\x80\x04\x95\x20\x00\x00\x00\x00\x00\x00\x00}\x94(";
    let entries = b"\x8c\x01a\x94}\x94\x8c\x01b\x94J\xfe\xff\xff\xffs\x8c\x01c\x94G\x3f\xe0\x00\x00\x00\x00\x00\x00u.";
    let bytes = joined(&[frame, entries]);
    assert_eq!(scalar(&bytes, "a.b").as_deref(), Some("-2"));
    assert_eq!(scalar(&bytes, "c").as_deref(), Some("0.5"));
}

#[test]
fn long_integers_have_a_sign() {
    let wrapped = |long: &[u8]| joined(&[b"\x80\x02}", &text("n"), long, b"s."]);
    assert_eq!(scalar(&wrapped(b"\x8a\x02\xff\x7f"), "n").as_deref(), Some("32767"));
    assert_eq!(scalar(&wrapped(b"\x8a\x01\xff"), "n").as_deref(), Some("-1"));
    assert_eq!(scalar(&wrapped(b"\x8a\x00"), "n").as_deref(), Some("0"));
    assert_eq!(scalar(&wrapped(b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00"), "n"), None);
}

#[test]
fn a_dangerous_name_is_refused_by_name() {
    let refused = |bytes: &[u8], dialect| match read(bytes, dialect).unwrap_err() {
        PickleError::Refused { module, name } => format!("{module}.{name}"),
        other => panic!("{other}"),
    };
    let system = joined(&[b"\x80\x02cposix\nsystem\n", &text("true"), b"\x85R."]);
    assert_eq!(refused(&system, Dialect::Torch), "posix.system");
    assert_eq!(refused(&system, Dialect::TorchScript), "posix.system");
    let stacked = b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.";
    assert_eq!(refused(stacked, Dialect::Torch), "builtins.eval");
    let script = b"\x80\x02c__torch__.M\nN\n)\x81.";
    assert_eq!(refused(script, Dialect::Torch), "__torch__.M.N");
    assert!(read(script, Dialect::TorchScript).is_ok());
    assert_eq!(refused(b"\x80\x02ctorch.hub\nload\n.", Dialect::Torch), "torch.hub.load");
    let line = read(&system, Dialect::Torch).unwrap_err().to_string();
    assert!(line.contains("asks for posix.system; nothing was executed"));
    assert_eq!(refused(b"\x80\x02ca\x1b\nb\n.", Dialect::Torch), "a\\u{1b}.b");
}

#[test]
fn what_contains_itself_ends() {
    let cyclic = joined(&[b"\x80\x02}q\x00", &text("a"), b"h\x00s."]);
    assert!(matches!(flat_error(&cyclic), PickleError::Limit { .. }));
    let list = b"\x80\x02]q\x00(h\x00h\x00h\x00e.";
    assert!(matches!(flat_error(list), PickleError::Limit { .. }));
    let object = joined(&[b"\x80\x02c__torch__\nM\n)\x81q\x00}", &text("a"), b"h\x00sb."]);
    let document = read(&object, Dialect::TorchScript).unwrap();
    assert!(flatten(&document).is_err());
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let levels = 200_000;
    let mut bytes = b"\x80\x02".to_vec();
    bytes.extend(std::iter::repeat_n(b']', levels));
    bytes.extend(std::iter::repeat_n(b'a', levels - 1));
    bytes.push(b'.');
    assert!(matches!(flat_error(&bytes), PickleError::Limit { .. }));
}

#[test]
fn doubling_sixty_times_is_refused() {
    let mut bytes = b"\x80\x02]q\x00".to_vec();
    for level in 1..60_u8 {
        bytes.extend([b'0', b']', b'q', level, b'(', b'h', level - 1, b'h', level - 1, b'e']);
    }
    bytes.push(b'.');
    assert!(matches!(flat_error(&bytes), PickleError::Limit { .. }));
    let long = "x".repeat(1 << 20);
    let mut bytes = joined(&[b"\x80\x02](", &text(&long), b"q\x00"]);
    bytes.extend(b"h\x00".repeat(100));
    bytes.extend(b"e.");
    assert!(matches!(flat_error(&bytes), PickleError::Limit { .. }));
}

#[test]
fn endless_steps_are_refused() {
    let mut bytes = b"\x80\x02".to_vec();
    bytes.extend(b"N0".repeat(2_000_001));
    bytes.push(b'.');
    assert!(matches!(torch(&bytes), Err(PickleError::Limit { .. })));
}

#[test]
fn huge_lengths_are_truncations() {
    let cases: [&[u8]; 8] = [
        b"X\xff\xff\xff\xff",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"B\xff\xff\xff\xff",
        b"\x8b\xff\xff\xff\xff",
        b"\x8a\xff",
        b"J\x00",
        b"cmodule",
    ];
    for case in cases {
        let bytes = joined(&[b"\x80\x02", case]);
        assert!(matches!(torch(&bytes), Err(PickleError::Truncated { .. })), "{case:?}");
    }
}

#[test]
fn unknown_opcodes_are_named() {
    for opcode in [b'i', b'o', b'p', b'V', b'I', b'P', 0x82, 0x97, 0xff, 0x92] {
        let found = torch(&[0x80, 2, b'N', opcode, b'.']).unwrap_err();
        assert_eq!(found, PickleError::Opcode { opcode, at: 3 });
    }
}

#[test]
fn operands_that_do_not_fit_are_malformed() {
    let cases: [&[u8]; 18] = [
        b".", b"0", b"2", b"t", b"1", b"u", b"(u", b"N\x86", b"}Ns", b"}(Nu", b"NNa", b"(Ne",
        b"h\x00", b"q\x00", b"NQ", b"(N(0", b"NNb", b"K\x01)R",
    ];
    for case in cases {
        let bytes = joined(&[b"\x80\x02", case, b"."]);
        let found = torch(&bytes);
        assert!(matches!(found, Err(PickleError::Malformed { .. })), "{case:?}: {found:?}");
    }
    assert!(matches!(torch(b"\x80\x01N."), Err(PickleError::Malformed { .. })));
}

#[test]
fn wrong_tensors_are_malformed() {
    let negative = one_tensor(b"J\xff\xff\xff\xff");
    let huge = one_tensor(b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00");
    let not_a_number = one_tensor(b"N");
    for bytes in [negative, huge, not_a_number] {
        assert!(matches!(torch(&bytes), Err(PickleError::Malformed { .. })));
    }
    let bare = joined(&[b"\x80\x02", TENSOR, b")R."]);
    assert!(matches!(torch(&bare), Err(PickleError::Malformed { .. })));
    let uncallable = joined(&[b"\x80\x02ctorch\nFloatStorage\n)R."]);
    assert!(matches!(torch(&uncallable), Err(PickleError::Malformed { .. })));
}

#[test]
fn two_values_of_one_name_are_ambiguous() {
    let (dotted, outer, inner) = (text("a.b"), text("a"), text("b"));
    let bytes = joined(&[b"\x80\x02}(", &dotted, b"K\x01", &outer, b"}", &inner, b"K\x02su."]);
    assert_eq!(flat_error(&bytes), PickleError::Ambiguous { name: "a.b".into() });
}

#[test]
fn harmless_parts_are_passed_over() {
    let scalar =
        b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f8\x85RC\x01x\x86R";
    let device = joined(&[b"ctorch\ndevice\n", &text("cpu"), b"\x85R"]);
    let noted = joined(&[DICT, b"}", &text("_metadata"), b"}sb"]);
    let entries = [text("numpy"), text("device"), text("noted"), text("kept")];
    let [numpy, on, with, kept] = &entries;
    let bytes = joined(&[
        b"\x80\x02}(",
        numpy,
        scalar,
        on,
        &device,
        with,
        &noted,
        kept,
        b"K\x07ctorch\nfloat16\nK\x01u.",
    ]);
    let document = torch(&bytes).unwrap();
    let flat = flatten(&document).unwrap();
    assert_eq!(flat.scalars.into_iter().collect::<Vec<_>>(), [("kept".into(), "7".into())]);
    assert!(flat.tensors.is_empty());
}

#[test]
fn parameters_and_script_lists_stand_for_their_content() {
    let parameter = b"ctorch._utils\n_rebuild_parameter\n";
    let whole = one_tensor(b"K\x00");
    let tensor = &whole[2 + 1 + text("w").len()..whole.len() - 2];
    let name = text("w");
    let bytes = joined(&[b"\x80\x02}", &name, parameter, b"(", tensor, b"\x88", DICT, b"tRs."]);
    assert!(flatten(&torch(&bytes).unwrap()).unwrap().tensors.contains_key("w"));
    let list = b"\x80\x02ctorch.jit._pickle\nbuild_intlist\n](K\x03K\x04e\x85R.";
    let document = read(list, Dialect::TorchScript).unwrap();
    assert_eq!(flatten(&document).unwrap().scalars["1"], "4");
}

#[test]
fn no_prefix_and_no_changed_byte_panics() {
    let whole = one_tensor(b"K\x00");
    for length in 0..whole.len() {
        assert!(torch(&whole[..length]).is_err());
    }
    for at in 0..whole.len() {
        for byte in 0..=255 {
            let mut changed = whole.clone();
            changed[at] = byte;
            if let Ok(document) = torch(&changed) {
                // Whatever it now says, it is said without a panic.
                flatten(&document).ok();
            }
        }
    }
}

#[test]
fn sets_counters_and_ordered_pairs_are_data() {
    let dict = |value: &[u8]| {
        let entry = joined(&[&text("n"), b"K\x07"]);
        joined(&[b"\x80\x02}(", &text("a"), value, &entry, b"u."])
    };
    let counter = joined(&[b"ccollections\nCounter\n}", &text("x"), b"K\x03s\x85R"]);
    assert_eq!(scalar(&dict(&counter), "a.x").as_deref(), Some("3"));
    let pairs = joined(&[b"ccollections\nOrderedDict\n](](", &text("x"), b"K\x04ee\x85R"]);
    assert_eq!(scalar(&dict(&pairs), "a.x").as_deref(), Some("4"));
    for inert in [
        &b"c__builtin__\nset\n](K\x01e\x85R"[..],
        b"cbuiltins\nset\n](K\x01e\x85R",
        b"\x8f(K\x01\x90",
        b"c__builtin__\nbytearray\n)R",
        b"c__builtin__\ncomplex\nK\x01K\x02\x86R",
        b"ctorch\nuint16\n",
        b"ctorch._utils\n_rebuild_sparse_tensor\n)R",
        b"ctorch.serialization\n_get_layout\n)R",
    ] {
        assert_eq!(scalar(&dict(inert), "n").as_deref(), Some("7"), "{inert:?}");
    }
}

#[test]
fn no_more_than_torch_allows() {
    for name in [
        "__builtin__\nfrozenset",
        "__builtin__\neval",
        "builtins\ngetattr",
        "collections\ndefaultdict",
        "collections\ndeque",
        "datetime\ndatetime",
        "pathlib\nPosixPath",
        "torch\nload",
        "torch._utils\n_import_dotted_name",
        "torch.storage\n_load_from_bytes",
        "argparse\nNamespace",
    ] {
        let bytes = joined(&[b"\x80\x02c", name.as_bytes(), b"\n."]);
        assert!(matches!(torch(&bytes), Err(PickleError::Refused { .. })), "{name}");
    }
}

#[test]
fn tensors_with_attributes_are_tensors() {
    let sizes: &[u8] = b"K\x00K\x03K\x04\x86K\x04K\x01\x86\x89";
    let arguments = joined(&[b"(", &storage(), sizes, DICT, b"t"]);
    let of_type = b"ctorch._tensor\n_rebuild_from_type_v2\n(";
    let call = joined(&[of_type, TENSOR, b"ctorch\nTensor\n", &arguments, b"}tR"]);
    let parameter = joined(&[
        b"ctorch._utils\n_rebuild_parameter_with_state\n(",
        TENSOR,
        &arguments,
        b"R\x88",
        DICT,
        b"}tR",
    ]);
    for call in [call, parameter] {
        let bytes = joined(&[b"\x80\x02}", &text("w"), &call, b"s."]);
        let document = torch(&bytes).unwrap();
        let index = flatten(&document).unwrap().tensors["w"];
        assert_eq!(document.tensors[index].shape, [3, 4]);
    }
    let itself = of_type.strip_suffix(b"(").unwrap();
    let nested = joined(&[b"\x80\x02", of_type, itself, b"ctorch\nTensor\n)}tR."]);
    assert!(torch(&nested).is_err());
}

#[test]
fn a_dictionary_of_a_dictionary_is_not_copied() {
    let mut bytes = joined(&[b"\x80\x02}q\x00(", &text("x"), b"K\x01u0"]);
    bytes.extend(b"ccollections\nCounter\nh\x00\x85R0".repeat(1000));
    bytes.extend(b"h\x00.");
    let dictionaries = torch(&bytes).unwrap().nodes.len();
    assert_eq!(dictionaries, 1001, "one dictionary, and the tuple of each call");
}
